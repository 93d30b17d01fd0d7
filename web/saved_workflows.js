// Gives the values of workflows that earlier versions saved to the widgets that they were saved for.
//
// The frontend hands saved values out by their order alone. Where a node's widgets had another order or another name
// when the file was saved, the values are put in today's order here, before the graph is built.
import { app } from '../../scripts/app.js'

// Widgets of another name, by node and old name: today's name, and what an old value means there.
const RENAMED = {
  PatchVSR_RefineFidelity: { keep_noise: (keep) => ['cleanup', keep ? 0 : 1] },
}

const ours = (type) => typeof type === 'string' && type.startsWith('PatchVSR_') && type in LiteGraph.registered_node_types

// Name and default of each widget whose value is saved, in today's order.
function widgetsOf(type) {
  const widgets = LiteGraph.createNode(type)?.widgets ?? []
  return widgets.filter((widget) => widget.serialize !== false).map(({ name, value }) => ({ name, value }))
}

function renamed(type, name, value) {
  return RENAMED[type]?.[name]?.(value) ?? [name, value]
}

function putInOrder(node) {
  const saved = node.widgets_values_named
  if (!saved) return
  const widgets = widgetsOf(node.type)
  if (Object.keys(saved).every((name, index) => widgets[index]?.name === name)) return
  const values = Object.fromEntries(Object.entries(saved).map(([name, value]) => renamed(node.type, name, value)))
  for (const widget of widgets) if (widget.name in values) widget.value = values[widget.name]
  node.widgets_values = widgets.map(({ value }) => value)
  node.widgets_values_named = Object.fromEntries(widgets.map(({ name, value }) => [name, value]))
}

app.registerExtension({
  name: 'PatchVSR.SavedWorkflows',
  beforeConfigureGraph(workflow) {
    const graphs = [workflow, ...(workflow.definitions?.subgraphs ?? [])]
    for (const node of graphs.flatMap((graph) => graph.nodes ?? [])) if (ours(node.type)) putInOrder(node)
  },
})
