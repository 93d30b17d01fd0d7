// Runs inside ComfyUI's frontend: one open node between its collapsed neighbours; answers the rectangle they fill.
async ({ node, before, after, zoom }) => {
  const BARE_WIDTH = 190, OPEN_WIDTH = 220, GAP = 40, ROW = 42, MARGIN = 12
  const LONGEST_TITLE = 20 // longer ones are cut off when a node is collapsed

  const create = (type) => {
    const made = LiteGraph.createNode(type)
    app.graph.add(made)
    return made
  }
  const neighbours = () => {
    const made = new Map()
    return { at: (type) => made.get(type) ?? made.set(type, create(type)).get(type), all: () => [...made.values()] }
  }
  const connect = (from, output, to, input) => {
    if (!from.connect(from.findOutputSlot(output), to, to.findInputSlot(input)))
      throw new Error(`cannot connect ${from.title}.${output} to ${to.title}.${input}`)
  }
  const drawn = () => {
    app.canvas.setDirty(true, true)
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
  }
  const widthOf = (made) => (made.flags.collapsed ? made._collapsed_width : made.size[0])
  const heightOf = (made) => (made.flags.collapsed ? ROW : made.size[1] + ROW)

  // Below one another, the first beside the title of the open node.
  const stack = (all, x) => {
    let y = 0
    for (const made of all) {
      made.pos = [x(made), y]
      y += heightOf(made)
    }
  }

  app.graph.clear()
  const open = create(node), left = neighbours(), right = neighbours()
  open.setSize([open.widgets?.length ? OPEN_WIDTH : BARE_WIDTH, open.computeSize()[1]])
  for (const [input, source] of Object.entries(before)) {
    const [type, output] = source.split('.')
    connect(left.at(type), output, open, input)
  }
  for (const link of after) {
    const [output, type, input] = link.split(/: |\./)
    connect(open, output, right.at(type), input)
  }
  for (const made of [...left.all(), ...right.all()])
    if (made.title.length <= LONGEST_TITLE) made.collapse()
    else made.setSize([OPEN_WIDTH, made.computeSize()[1]])
  await drawn() // only then the widths of titles are known
  const edge = Math.max(0, ...left.all().map((made) => widthOf(made) + GAP))
  open.pos = [edge, 0]
  stack(left.all(), (made) => edge - GAP - widthOf(made))
  stack(right.all(), () => edge + open.size[0] + GAP)
  await drawn()

  const boxes = app.graph._nodes.map((made) => made.getBounding(new Float32Array(4)))
  const [x, y] = [0, 1].map((axis) => Math.min(...boxes.map((box) => box[axis])) - MARGIN)
  const [width, height] = [x, y].map((start, axis) =>
    Math.max(...boxes.map((box) => box[axis] + box[axis + 2])) + MARGIN - start)
  Object.assign(app.canvas.ds, { scale: zoom, offset: [-x, -y] })
  await drawn()
  return [0, 0, Math.ceil(width * zoom), Math.ceil(height * zoom)]
}
