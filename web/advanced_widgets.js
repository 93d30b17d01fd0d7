// Folds advanced widgets away in the classic renderer too; nodes drawn by Vue do it by themselves.

import { app } from '../../scripts/app.js'
import { keepUntilRemoved } from './graph_walk.js'
import { watch } from './watch.js'
import { words } from './words.js'

const BUTTON = 'patchvsr_advanced'
const folded = new Set()

/** Hide the advanced widgets of a new node behind a button; does nothing the second time. */
export function foldAdvanced(node) {
  if (folded.has(node) || !node.widgets?.some((widget) => widget.options?.advanced)) return
  keepUntilRemoved(folded, node)
  for (const { options, linkedWidgets } of node.widgets) { // the control of a seed goes with it
    for (const linked of linkedWidgets ?? []) linked.options.advanced = options?.advanced
  }
  const button = node.addWidget('button', BUTTON, null, () => toggle(node), { canvasOnly: true, serialize: false })
  button.serialize = false
  look(node)
  fit(node)
}

function toggle(node) {
  node.showAdvanced = !node.showAdvanced
  look(node)
  fit(node)
}

/** What another node feeds stays in sight, and so does everything where the user's settings say so. */
function look(node) {
  const always = app.extensionManager?.setting?.get?.('Comfy.Node.AlwaysShowAdvancedWidgets')
  for (const widget of node.widgets) {
    if (widget.options?.advanced === undefined) continue
    const linked = node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null)
    widget.advanced = !always && !linked && widget.options.advanced
    widget.hidden = widget.advanced && !node.showAdvanced && !window.LiteGraph?.vueNodesMode // else rows stay empty
  }
  const button = node.widgets.find((widget) => widget.name === BUTTON)
  if (!button) return
  button.hidden = !!always
  button.label = words()[node.showAdvanced ? 'hide_advanced' : 'show_advanced']
}

function fit(node) {
  node.setSize?.([Math.max(node.size[0], node.computeSize()[0]), node.computeSize()[1]])
  app.graph?.setDirtyCanvas?.(true, true)
}

app.registerExtension({
  name: 'PatchVSR.AdvancedWidgets',
  setup() {
    watch(() => folded.forEach((node) => node.graph && look(node)))
  },
  nodeCreated(node) {
    if ((node.constructor?.comfyClass ?? node.comfyClass)?.startsWith('PatchVSR_')) foldAdvanced(node)
  }
})
