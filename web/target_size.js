// Greys out what does not decide the size of a result, so that what is seen is what counts.
//
// target decides; where it is custom, size does if it is filled in, and is then shown; otherwise scale does.

import { app } from '../../scripts/app.js'
import { grey, keepUntilRemoved, valueOf, widgetOf } from './graph_walk.js'
import { watch } from './watch.js'

const NODES = ['PatchVSR_UpscaleVideo', 'PatchVSR_PatchPlanner', 'PatchVSR_DAPUpscale', 'PatchVSR_RDGUpscale']
const watched = new Set()

function look(node) {
  const [scale, size, target] = ['scale', 'size', 'target'].map((name) => widgetOf(node, name))
  if (!scale || !size || !target) return
  const custom = (valueOf(node, 'target') ?? 'custom') === 'custom'
  const exact = String(valueOf(node, 'size') ?? 'linked').trim() !== ''
  grey(scale, !custom || exact)
  grey(size, !custom)
  hide(node, size, !exact)
}

/** A size that counts stands open; an empty one is among the advanced widgets. */
function hide(node, widget, off) {
  if (!widget.options || !!widget.options.advanced === off) return
  widget.options.advanced = widget.advanced = off
  const [width, height] = node.computeSize?.() ?? node.size
  node.setSize?.([Math.max(width, node.size[0]), Math.max(height, node.size[1])])
  app.graph?.setDirtyCanvas?.(true, true)
}

app.registerExtension({
  name: 'PatchVSR.TargetSize',
  setup() {
    watch(() => watched.forEach((node) => node.graph && look(node)))
  },
  nodeCreated(node) {
    if (NODES.includes(node.constructor?.comfyClass ?? node.comfyClass)) keepUntilRemoved(watched, node)
  }
})
