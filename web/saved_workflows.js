// Gives the values of workflows that earlier versions saved to the widgets that they were saved for.
//
// The frontend hands saved values out by their order alone. Where a node's widgets had another order or another name
// when the file was saved, the values are put in today's order here, before the graph is built.
import { app } from '../../scripts/app.js'

// Widgets of another name, by node and old name: today's name, and what an old value means there.
const RENAMED = {
  PatchVSR_RefineFidelity: { keep_noise: (keep) => ['cleanup', keep ? 0 : 1] },
}
// What widgets stood for in files that were saved before there were such widgets, where their default is another today.
const BEFORE = { detail: 0 }
const CONTROL = 'control_after_generate' // of a seed; some versions of the frontend call it by its default
const CONTROLS = ['fixed', 'increment', 'decrement', 'randomize']

const ours = (type) => typeof type === 'string' && type.startsWith('PatchVSR_') && type in LiteGraph.registered_node_types
const nameOf = (name) => (CONTROLS.includes(name) ? CONTROL : name)

// Name of each widget whose value is saved, in today's order, and its value in a file without it.
function widgetsOf(type) {
  const widgets = LiteGraph.createNode(type)?.widgets ?? []
  return widgets
    .filter((widget) => widget.serialize !== false)
    .map(({ name, value }) => ({ name: nameOf(name), value: BEFORE[name] ?? value }))
}

function renamed(type, name, value) {
  return RENAMED[type]?.[name]?.(value) ?? [nameOf(name), value]
}

function putInOrder(node) {
  const widgets = widgetsOf(node.type)
  const saved = node.widgets_values_named
  if (!saved) return fillIn(node.widgets_values, widgets)
  const lacks = Object.keys(BEFORE).some((name) => !(name in saved) && widgets.some((widget) => widget.name === name))
  if (!lacks && Object.keys(saved).every((name, index) => widgets[index]?.name === nameOf(name))) return
  const values = Object.fromEntries(Object.entries(saved).map(([name, value]) => renamed(node.type, name, value)))
  for (const widget of widgets) if (widget.name in values) widget.value = values[widget.name]
  node.widgets_values = widgets.map(({ value }) => value)
  node.widgets_values_named = Object.fromEntries(widgets.map(({ name, value }) => [name, value]))
}

// Values without names, as older versions of the frontend save them: only a missing control of a seed can be told, and
// what is missing at the end.
function fillIn(values, widgets) {
  if (!Array.isArray(values)) return
  widgets.forEach(({ name, value }, index) => {
    if (name === CONTROL && index < values.length && !CONTROLS.includes(values[index])) values.splice(index, 0, value)
  })
  if (widgets.slice(values.length).some(({ name }) => name in BEFORE))
    values.push(...widgets.slice(values.length).map(({ value }) => value))
}

app.registerExtension({
  name: 'PatchVSR.SavedWorkflows',
  beforeConfigureGraph(workflow) {
    const graphs = [workflow, ...(workflow.definitions?.subgraphs ?? [])]
    for (const node of graphs.flatMap((graph) => graph.nodes ?? [])) if (ours(node.type)) putInOrder(node)
  },
})
