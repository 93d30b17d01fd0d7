// Greys out what has no effect in Upscale Video, so that what is seen is what counts.
//
// By itself the built-in model denoises no patches: its base layer is the whole picture. docs/manual.md says the same.

import { app } from '../../scripts/app.js'
import { feeding, grey, keepUntilRemoved, upstream, valueOf, widgetOf } from './graph_walk.js'
import { watch } from './watch.js'

const DENOISING = [
  ...['seed', 'steps', 'guidance', 'guidance_rescale', 'patch_px', 'layout', 'patches_at_once', 'propagation'],
  ...['economy', 'color_fix']
]
const FAST = [...DENOISING, 'detail', 'cleanup', 'base_layer', 'overlap_frames'] // what a real-time network leaves idle
const watched = new Set()

function look(node) {
  const idle = idleOf(node)
  for (const name of FAST) {
    const widget = widgetOf(node, name)
    if (widget) grey(widget, idle.includes(name))
  }
}

/** Names of the widgets without effect; a value that another node decides may be any, and leaves all of them open. */
function idleOf(node) {
  const [quality, baseLayer] = ['quality', 'base_layer'].map((name) => valueOf(node, name))
  if (quality === 'fast') return FAST
  if (quality === undefined || baseLayer === undefined) return []
  const builtIn = isBuiltIn(node)
  const refines = builtIn && baseLayer === 'bicubic' // the only case in which detail is the refiner's
  const restores = baseLayer === 'restorer' || (builtIn && baseLayer === 'auto' && !feeding(node, 'upscale_model'))
  const denoises = !builtIn || refines || quality === 'best'
  return [...(denoises ? [] : DENOISING), ...(refines || restores ? [] : ['detail'])]
}

function isBuiltIn(node) {
  const sources = ['models', 'model'].filter((name) => feeding(node, name))
  return sources.every((name) => upstream(node, name).some(({ type }) => type === 'PatchVSR_LoadTinyDefault'))
}

app.registerExtension({
  name: 'PatchVSR.IdleWidgets',
  setup() {
    watch(() => watched.forEach((node) => node.graph && look(node)))
  },
  nodeCreated(node) {
    if ((node.constructor?.comfyClass ?? node.comfyClass) === 'PatchVSR_UpscaleVideo') keepUntilRemoved(watched, node)
  }
})
