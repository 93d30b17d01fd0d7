// Runs inside ComfyUI's frontend: places and connects the nodes of one example, and lets the frontend write the file.
() => {
  const WIDTH = 270, TITLE = 30, GAP = 76, COLUMN_GAP = 80, PADDING = 40, GROUP_GAP = 20, GROUP_TITLE = 60, LANE = 26

  function createNode({ type, inputs, title, size }) {
    const node = LiteGraph.createNode(type)
    if (!node) throw new Error(`no node ${type}`)
    app.graph.add(node)
    if (title) node.title = title
    for (const [name, value] of Object.entries(inputs)) {
      if (isLink(value)) continue
      const widget = name === '' ? node.widgets[0] : node.widgets.find((w) => w.name === name)
      if (!widget) throw new Error(`${type} has no widget ${name}: ${node.widgets.map((w) => w.name)}`)
      widget.value = value
      widget.callback?.(value, app.canvas, node)
    }
    const [width, height] = node.computeSize()
    node.setSize([Math.max(width, size?.[0] ?? WIDTH), Math.max(height, size?.[1] ?? 0)])
    return node
  }

  const isLink = (value) => typeof value === 'string' && value.startsWith('@')

  // Columns from left to right with the nodes below one another; a box around the columns of each group.
  function arrange(nodes, groups) {
    const columns = []
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
      x += group.size[0] + GROUP_GAP
    }
    return columns
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
    const first = Math.max(...columns.slice(1).map((column) => column.bottom)) + GAP
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
    return first + lanes.length * LANE
  }

  window.buildExample = async (example) => {
    app.graph.clear()
    app.graph.id = example.id
    const nodes = {}
    for (const [name, description] of Object.entries(example.nodes)) nodes[name] = createNode(description)
    const columns = arrange(nodes, example.groups)
    const bottom = connect(linksOf(nodes, example.nodes), columns)
    for (const group of app.graph.groups) group.size = [group.size[0], Math.max(bottom, columns[0].bottom + PADDING) + PADDING / 2]
    window.showWholeGraph()
    return JSON.stringify((await app.graphToPrompt()).workflow)
  }

  // Shows the whole graph and answers the rectangle of the page that it fills.
  window.showWholeGraph = () => {
    const MARGIN = 16
    const right = Math.max(...app.graph.groups.map((group) => group.pos[0] + group.size[0]))
    const bottom = Math.max(...app.graph.groups.map((group) => group.pos[1] + group.size[1]))
    const scale = Math.min((innerWidth - 2 * MARGIN) / right, (innerHeight - 2 * MARGIN) / bottom)
    app.canvas.ds.scale = scale
    app.canvas.ds.offset = [MARGIN / scale, MARGIN / scale]
    app.canvas.setDirty(true, true)
    return [0, 0, right * scale + 2 * MARGIN, bottom * scale + 2 * MARGIN]
  }
}
