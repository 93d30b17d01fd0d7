// Runs inside ComfyUI's frontend: places and connects the nodes of one example, and lets the frontend write the file.
() => {
  const WIDTH = 270, TITLE = 30, GAP = 76, COLUMN_GAP = 80, PADDING = 40, GROUP_GAP = 20, GROUP_TITLE = 60, LANE = 26
  const PACK_EDGE = 160

  const isLink = (value) => typeof value === 'string' && value.startsWith('@')
  const widgetOf = (node, name) => {
    const widget = name === '' ? node.widgets[0] : node.widgets.find((w) => w.name === name)
    if (!widget) throw new Error(`${node.type} has no widget ${name}: ${node.widgets.map((w) => w.name)}`)
    return widget
  }

  // New ids follow from the example's own, so that building it again writes the same file.
  function countIds(start) {
    let count = 0
    crypto.randomUUID = () => start.slice(0, -4) + (0x1000 * (1 + ++count >> 12) + (count & 0xfff) + 0xa000).toString(16)
  }

  function createNode({ type, inputs, title, size, files }) {
    const node = LiteGraph.createNode(type)
    if (!node) throw new Error(`no node ${type}`)
    app.graph.add(node)
    if (title) node.title = title
    if (files.length) node.properties.models = files.filter((file) => file.url)
    return adjust(node, { inputs, size })
  }

  function adjust(node, { inputs, size }) {
    for (const [name, value] of Object.entries(inputs)) {
      if (isLink(value)) continue
      const widget = widgetOf(node, name)
      widget.value = value
      widget.callback?.(value, app.canvas, node)
    }
    const [width, height] = node.computeSize()
    node.setSize([Math.max(width, size?.[0] ?? WIDTH), Math.max(height, size?.[1] ?? 0)])
    return node
  }

  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))

  // A note as high as its text: only the page knows how many lines that takes.
  async function fitNotes(nodes, places) {
    for (const [name, node] of Object.entries(nodes).filter(([, node]) => node.type === 'MarkdownNote')) {
      node.pos = [0, 0]
      node.setSize([places[name]?.width ?? node.size[0], 2000])
      Object.assign(app.canvas.ds, { scale: 1, offset: [100, 100] })
      app.canvas.setDirty(true, true)
      await frame()
      const text = node.widgets[0].element.querySelector('.tiptap, .comfy-markdown-content') ?? node.widgets[0].element
      const lines = [...text.children].map((line) => line.getBoundingClientRect())
      const height = Math.max(...lines.map((line) => line.bottom)) - Math.min(...lines.map((line) => line.top))
      node.setSize([node.size[0], Math.ceil(height / 10) * 10 + 60])
    }
  }

  // Columns from left to right with the nodes below one another; a box around the columns of each group.
  function arrange(nodes, groups) {
    const columns = [], boxes = []
    let x = 0
    for (const { title, color, columns: names } of groups) {
      const group = new LiteGraph.LGraphGroup(title)
      let left = x + PADDING
      for (const column of names) {
        const members = column.map((name) => nodes[name])
        const width = Math.max(...members.map((node) => node.size[0]))
        let top = GROUP_TITLE + TITLE + PADDING / 2
        for (const node of members) {
          node.pos = [left, top]
          node.setSize([width, node.size[1]])
          node.column = columns.length
          top += node.size[1] + TITLE + GAP
        }
        columns.push({ left, right: left + width, bottom: top - TITLE - GAP })
        left += width + COLUMN_GAP
      }
      Object.assign(group, { color, font_size: 36, pos: [x, 0], size: [left - COLUMN_GAP + PADDING - x, 0] })
      app.graph.add(group)
      boxes.push(group)
      x += group.size[0] + GROUP_GAP
    }
    return { columns, boxes }
  }

  function linksOf(nodes, description) {
    const links = []
    for (const [name, { inputs }] of Object.entries(description))
      for (const [input, value] of Object.entries(inputs).filter(([, value]) => isLink(value))) {
        const [source, output] = value.slice(1).split('.')
        const link = { from: nodes[source], to: nodes[name] }
        link.output = link.from.findOutputSlot(output)
        link.input = link.to.findInputSlot(input)
        if (link.output < 0 || link.input < 0) throw new Error(`cannot connect ${value} to ${name}.${input}`)
        links.push(link)
      }
    return links
  }

  // Neighbouring columns are connected directly. Longer links run in lanes below the nodes, one per output,
  // from where they leave their column to where they reach the next that needs them.
  function connect(links, columns) {
    const isLong = ({ from, to }) => to.column - from.column > 1
    const lanes = [...new Set(links.filter(isLong).map((link) => `${link.from.id}.${link.output}`))]
    const place = (lane) => { const [id, slot] = lane.split('.'); const n = app.graph.getNodeById(id)
      return -n.column * 1e6 + n.pos[1] + Number(slot) }
    lanes.sort((a, b) => place(a) - place(b))
    const first = Math.max(...columns.map((column) => column.bottom)) + GAP
    const shared = {}
    for (const link of links.sort((a, b) => a.to.column - b.to.column)) {
      const lane = `${link.from.id}.${link.output}`
      const made = link.from.connect(link.output, link.to, link.input, isLong(link) ? shared[lane]?.id : undefined)
      if (!made) throw new Error(`cannot connect ${link.from.title} to ${link.to.title}`)
      if (!isLong(link)) continue
      const y = first + lanes.indexOf(lane) * LANE
      const stops = shared[lane] ? [] : [columns[link.from.column].right + COLUMN_GAP / 2]
      if (shared[lane]?.column !== link.to.column) stops.push(columns[link.to.column].left - COLUMN_GAP / 2)
      for (const x of stops) {
        const reroute = app.graph.createReroute([x, y], made)
        shared[lane] = { id: reroute.id, column: link.to.column }
      }
    }
    return lanes.length ? first + (lanes.length - 1) * LANE : first - GAP
  }

  // Nodes, links and boxes where the example wants them.
  function place(nodes, { nodes: description, groups, places, ways }) {
    for (const [name, { x, y, width, folded }] of Object.entries(places)) {
      const node = nodes[name]
      node.pos = [x, y]
      node.setSize([width, node.size[1]])
      if (folded) node.collapse()
    }
    for (const { title, color, box: [x, y, width, height] } of groups) {
      const group = new LiteGraph.LGraphGroup(title)
      app.graph.add(Object.assign(group, { color, font_size: 28, pos: [x, y], size: [width, height] }))
    }
    for (const { from, to, output, input } of linksOf(nodes, description)) {
      const made = from.connect(output, to, input)
      const name = Object.keys(nodes).find((key) => nodes[key] === to)
      for (const point of ways[`${name}.${to.inputs[input].name}`] ?? []) app.graph.createReroute(point, made)
    }
  }

  // Places and connects nodes, and draws boxes that reach below them and their links.
  function lay(nodes, description, groups) {
    const { columns, boxes } = arrange(nodes, groups)
    const bottom = connect(linksOf(nodes, description), columns) + PADDING
    for (const box of boxes) box.size = [box.size[0], bottom]
    return columns
  }

  // A subgraph of the nodes of a pack, with the inputs, outputs and widgets that it is to have.
  function createPack(pack) {
    const before = Object.fromEntries(Object.entries(pack.nodes).map(([name, node]) => [name, createNode(node)]))
    const columns = lay(before, pack.nodes, pack.groups)
    const all = [...app.graph._nodes, ...app.graph.groups, ...app.graph.reroutes.values()]
    const { subgraph, node } = app.graph.convertToSubgraph(new Set(all))
    const inside = (place) => {
      const [name, slot] = place.split('.')
      const found = subgraph.getNodeById(before[name].id)
      if (found?.type !== pack.nodes[name].type) throw new Error(`${name} is lost inside ${pack.title}`)
      return [found, slot]
    }
    const offer = (name, places) => {
      const slots = places.map(inside).map(([node, input]) => [node, node.inputs[node.findInputSlot(input)]])
      const input = subgraph.addInput(name, slots[0][1].type)
      for (const [node, slot] of slots)
        if (!input.connect(slot, node)) throw new Error(`cannot connect ${name} inside ${pack.title}`)
    }
    for (const [name, places] of Object.entries(pack.inputs)) offer(name, places)
    for (const [name, place] of Object.entries(pack.widgets)) offer(name, [place])
    for (const [name, place] of Object.entries(pack.outputs)) {
      const [from, output] = inside(place)
      const slot = from.outputs[from.findOutputSlot(output)]
      subgraph.addOutput(name, slot.type).connect(slot, from)
    }
    const [, y] = inside(Object.values(pack.inputs)[0][0])[0].pos
    subgraph.inputNode.pos = [columns[0].left - PADDING - PACK_EDGE - GROUP_GAP - 128, y]
    subgraph.outputNode.pos = [columns.at(-1).right + PADDING + PACK_EDGE, y]
    Object.assign(subgraph, { name: pack.title, description: pack.description })
    node.title = pack.title
    return node
  }

  // The file of an example, the prompt that it makes, and the id of each of its nodes by name.
  window.buildExample = async (example) => {
    app.graph.clear()
    app.graph.id = example.id
    countIds(example.id)
    const nodes = {}
    const packed = example.pack && createPack(example.pack)
    for (const [name, description] of Object.entries(example.nodes))
      nodes[name] = packed?.title === description.type ? adjust(packed, description) : createNode(description)
    await fitNotes(nodes, example.places)
    if (Object.keys(example.places).length) place(nodes, example)
    else lay(nodes, example.nodes, example.groups)
    showBeginning(example.places)
    const ids = Object.fromEntries(Object.entries(nodes).map(([name, node]) => [name, String(node.id)]))
    const { workflow, output } = await app.graphToPrompt()
    return JSON.stringify({ workflow, prompt: output, ids })
  }

  // Where the file opens, in a window 1280 pixels wide: the note large enough to read or, where nodes have places of
  // their own, all of them from left to right; beside ComfyUI's own bars.
  function showBeginning(places) {
    const [right, bottom] = corner()
    const placed = Object.keys(places).length > 0
    const [wide, high] = [1180 / right, 640 / bottom]
    const legible = wide > 0.68 ? Math.min(0.8, wide) : 0.8 // smaller where that shows all columns
    const scale = Math.min(1, placed ? 1200 / right : Math.max(legible, Math.min(wide, high)))
    Object.assign(app.canvas.ds, { scale, offset: [(placed ? 68 : 80) / scale, 100 / scale] })
  }

  const corner = () => [0, 1].map((axis) => Math.max(...app.graph.groups.map((box) => box.pos[axis] + box.size[axis])))

  // What a blueprint's file holds: the one node of the pack, and what is behind it.
  window.blueprintOf = (title) => {
    const node = app.graph._nodes.find((node) => node.title === title)
    const { nodes, subgraphs } = app.canvas._serializeItems([node])
    for (const slot of nodes[0].inputs) slot.link = null
    for (const slot of nodes[0].outputs) slot.links = []
    const file = { revision: 0, last_node_id: node.id, last_link_id: 0, nodes, links: [], version: 0.4 }
    return JSON.stringify({ ...file, definitions: { subgraphs }, extra: {} })
  }

  // Shows the whole graph and answers the rectangle of the page that it fills.
  window.showWholeGraph = () => {
    const MARGIN = 16
    const [right, bottom] = corner()
    const scale = Math.min((innerWidth - 2 * MARGIN) / right, (innerHeight - 2 * MARGIN) / bottom)
    app.canvas.ds.scale = scale
    app.canvas.ds.offset = [MARGIN / scale, MARGIN / scale]
    app.canvas.setDirty(true, true)
    return [0, 0, right * scale + 2 * MARGIN, bottom * scale + 2 * MARGIN]
  }
}
