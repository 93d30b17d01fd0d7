// Where an input of a node comes from: through reroutes, bypassed nodes and the borders of subgraphs; and its widgets.

const SUBGRAPH_INPUT = -10
const BYPASSED = 4
const MOST_HOPS = 100
const MOST_NODES = 60

/** {node, slot} that feeds an input; null when nothing does, or when it cannot be told. */
export function feeding(node, name) {
  const input = node?.inputs?.find((input) => input.name === name)
  return follow(node?.graph, input?.link, MOST_HOPS)
}

function follow(graph, id, hops) {
  const link = graph && id != null && hops > 0 ? linkOf(graph, id) : null
  if (!link) return null
  if (Number(link.origin_id) === SUBGRAPH_INPUT) {
    const outer = ownerOf(graph)
    return follow(outer?.graph, outer?.inputs?.[link.origin_slot]?.link, hops - 1)
  }
  const node = graph.getNodeById(link.origin_id)
  if (!node) return null
  if (node.mode === BYPASSED || node.type === 'Reroute') {
    return follow(graph, passedOn(node, link.origin_slot)?.link, hops - 1)
  }
  if (!node.subgraph) return { node, slot: link.origin_slot }
  const output = node.subgraph.outputNode?.slots?.[link.origin_slot]
  return follow(node.subgraph, output?.getLinks?.()[0]?.id ?? output?.linkIds?.[0], hops - 1)
}

function linkOf(graph, id) {
  return graph.getLink?.(id) ?? graph.links?.get?.(id) ?? graph.links?.[id] ?? null
}

/** The node that stands for a subgraph; null when there are several, whose inputs may differ. */
function ownerOf(subgraph) {
  const owners = allNodes().filter((node) => node.subgraph === subgraph)
  return owners.length === 1 ? owners[0] : null
}

/** The input that a bypassed node or a reroute hands to an output: that of the same place if the types agree. */
function passedOn(node, slot) {
  const inputs = node.inputs ?? []
  if (node.type === 'Reroute') return inputs[0]
  const type = node.outputs?.[slot]?.type
  return inputs[slot]?.type === type ? inputs[slot] : inputs.find((input) => input.type === type)
}

/** Every node of the workflow, those in subgraphs too. */
export function allNodes() {
  const root = window.app?.rootGraph ?? window.app?.graph
  const nodes = []
  const seen = new Set()
  const visit = (graph) => {
    if (!graph || seen.has(graph)) return
    seen.add(graph)
    for (const node of graph._nodes ?? graph.nodes ?? []) {
      nodes.push(node)
      visit(node.subgraph)
    }
  }
  visit(root)
  return nodes
}

/** The nodes from which an input comes, the nearest first. */
export function upstream(node, name) {
  const found = []
  const open = [feeding(node, name)?.node]
  while (open.length && found.length < MOST_NODES) {
    const next = open.shift()
    if (!next || found.includes(next)) continue
    found.push(next)
    for (const input of next.inputs ?? []) open.push(feeding(next, input.name)?.node)
  }
  return found
}

export function widgetOf(node, name) {
  return node?.widgets?.find((widget) => widget.name === name)
}

/** Show that a widget has no effect, or that it has. */
export function grey(widget, off) {
  if (widget.disabled === off && widget.options?.disabled === off) return
  widget.disabled = off
  if (widget.options) widget.options.disabled = off
  window.app?.graph?.setDirtyCanvas?.(true, true)
}

/** What a widget will be when the graph runs; undefined when another node decides it. */
export function valueOf(node, name) {
  const input = node.inputs?.find((input) => (input.widget?.name ?? input.name) === name)
  if (input?.link == null) return widgetOf(node, name)?.value
  const promoted = promotedTo(node.graph, input.link)
  if (promoted) return valueOf(promoted.node, promoted.name)
  const source = feeding(node, input.name)?.node
  return source?.type?.startsWith('Primitive') ? source.widgets?.[0]?.value : undefined
}

/** {node, name} of the input of a subgraph's node that stands for a link from its border. */
function promotedTo(graph, id) {
  const link = linkOf(graph, id)
  if (!link || Number(link.origin_id) !== SUBGRAPH_INPUT) return null
  const node = ownerOf(graph)
  const input = node?.inputs?.[link.origin_slot]
  return input ? { node, name: input.widget?.name ?? input.name } : null
}

/** Changes with everything that decides what arrives at an input; not with seeds, which do not change sizes. */
export function stateOf(node, name) {
  const values = (widgets) =>
    (widgets ?? [])
      .filter((widget) => widget.serialize !== false && !/seed|control_after/.test(widget.name))
      .map((widget) => (typeof widget.value === 'object' ? '' : widget.value))
  return JSON.stringify(upstream(node, name).map(({ id, type, mode, widgets }) => [id, type, mode, values(widgets)]))
}

/** Put a node into a set, which it leaves when it is removed from its graph. */
export function keepUntilRemoved(nodes, node) {
  nodes.add(node)
  const { onRemoved } = node
  node.onRemoved = function (...rest) {
    nodes.delete(node)
    return onRemoved?.apply(this, rest)
  }
}
