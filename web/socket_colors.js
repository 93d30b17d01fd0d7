// Colours of the pack's own sockets and links, in both renderers: what belongs together can be followed by eye.

import { app } from '../../scripts/app.js'
import { watch } from './watch.js'

const COLORS = {
  PATCHVSR_PLAN: '#2fb5b5',
  PATCHVSR_PATCH_COND: '#e0a030',
  PATCHVSR_GLOBAL_CONTEXT: '#c070d8',
  PATCHVSR_TILES: '#5fb85f',
  PATCHVSR_FLOW: '#d86f8a',
  PATCHVSR_MODEL: '#8f7fe8'
}

/** A palette, whenever it is chosen, empties the colours of types that it does not know. */
function paint() {
  const colors = window.LGraphCanvas.link_type_colors
  const style = document.documentElement.style
  const missing = ([type, color]) => colors[type] !== color || style.getPropertyValue(variable(type)) !== color
  for (const [type, color] of Object.entries(COLORS).filter(missing)) {
    colors[type] = color
    if (app.canvas?.default_connection_color_byType) app.canvas.default_connection_color_byType[type] = color
    style.setProperty(variable(type), color)
    app.graph?.setDirtyCanvas?.(true, true)
  }
}

const variable = (type) => `--color-datatype-${type}`

app.registerExtension({
  name: 'PatchVSR.SocketColors',
  setup() {
    watch(paint)
  }
})
