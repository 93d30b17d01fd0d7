// Shows on a node, before anything is queued, where its patches will lie and what they will cost.
//
// The server plans (POST /patchvsr/plan); this script only collects what it asks, and draws what it answers.

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { foldAdvanced } from './advanced_widgets.js'
import { clipOf, pictureOf } from './clip.js'
import { familyOfFile } from './families.js'
import { allNodes, feeding, stateOf, upstream, valueOf, widgetOf } from './graph_walk.js'
import { PlanPicture } from './plan_picture.js'
import { watch } from './watch.js'
import { language, words } from './words.js'

const PICTURE_PX = 120
const TEXT_PX = 84
const WIDTH_PX = 320
const REMEMBERED = 50
const NAME = 'patchvsr_forecast'
const RETRY_MS = 5000
const AGAIN = [5, 15] // looks after which a picture is taken anew

const FAST = { node: 'frames', input: 'image', widgets: ['scale', 'size', 'target'], fixed: { quality: 'fast' } }
const KINDS = {
  PatchVSR_DAPUpscale: FAST,
  PatchVSR_RDGUpscale: FAST,
  PatchVSR_PatchPlanner: {
    node: 'planner',
    input: 'image',
    widgets: ['scale', 'patch_px', 'layout', 'window_frames', 'overlap_frames', 'size', 'target']
  },
  PatchVSR_UpscaleVideo: {
    node: 'video',
    input: 'video',
    widgets: [
      ...['scale', 'size', 'target', 'quality', 'steps', 'guidance', 'patch_px', 'layout', 'crf', 'codec', 'detail'],
      'base_layer'
    ]
  }
}
const panels = new Set()
const hosts = new WeakSet() // nodes that stand for a subgraph, and have been looked into
const reports = new Map() // what planners said of clips that they really had, by what was upstream

class Panel {
  /** host: the node on which it stands, if that is another: the one of a subgraph with this node in it. */
  constructor(node, kind, host = node) {
    this.node = node
    this.host = host
    this.kind = kind
    this.asked = ''
    this.element = document.createElement('div')
    this.element.style.cssText =
      'display:flex; flex-direction:column; gap:4px; width:100%; height:100%; overflow:hidden; box-sizing:border-box; ' +
      'padding:2px 4px; font:11px/1.27 sans-serif; color:var(--input-text, #ddd); user-select:none'
    this.text = document.createElement('div')
    this.text.style.cssText = 'flex:0 0 auto'
    this.picture = kind.node === 'planner' ? new PlanPicture((number) => this.choose(number)) : null
    this.element.append(...(this.picture ? [this.picture.element] : []), this.text)
    for (const type of ['wheel', 'pointerdown', 'pointermove', 'pointerup']) {
      this.element.addEventListener(type, forward, { passive: false })
    }
  }

  get minHeight() {
    return TEXT_PX + (this.picture ? PICTURE_PX : 0)
  }

  /** Called every now and then: asks again when something that matters has changed; returns what it waits for. */
  look() {
    if (!this.host.graph || this.waiting) return this.waiting
    const { question, missing, element } = this.question()
    this.picture?.choose(this.previews()[0]?.value ?? this.chosen ?? 0)
    if (missing) {
      this.asked = ''
      this.say([words()[missing]])
      this.picture?.hide()
      return
    }
    const text = JSON.stringify(question)
    if (text === this.asked) this.refresh(element)
    else this.waiting = this.ask(text, element).finally(() => (this.waiting = null))
    return this.waiting
  }

  async ask(text, element) {
    this.asked = text
    try {
      const headers = { 'Content-Type': 'application/json' }
      const response = await api.fetchApi('/patchvsr/plan', { method: 'POST', headers, body: text })
      const answer = response.ok ? await response.json() : {}
      if (answer.error) this.fail(answer.error)
      else if (answer.lines) this.show(answer, element)
      else this.fail(words().restart)
    } catch {
      this.fail(words().no_answer)
      setTimeout(() => (this.asked = ''), RETRY_MS)
    }
  }

  show(answer, element) {
    this.say(answer.lines, answer.warning)
    this.picture?.show(answer, (this.drawn = element ? pictureOf(element) : ''))
    this.looks = 0
  }

  /** The picture of a clip may come later than its size, and a black one before the first that is right. */
  refresh(element) {
    this.looks += 1
    if (!element || !this.picture || (this.drawn && !AGAIN.includes(this.looks))) return
    this.picture.setPicture((this.drawn = pictureOf(element)))
  }

  fail(message) {
    this.say([], message)
    this.picture?.hide()
  }

  say(lines, warning) {
    const key = JSON.stringify([lines, warning])
    if (key === this.said) return
    this.said = key
    const rows = lines.map((line, index) => row(line, index ? 'var(--descrip-text, #999)' : 'inherit'))
    if (warning) rows.push(row(warning, 'var(--error-text, #ff4444)'))
    this.text.replaceChildren(...rows)
  }

  /** What to ask the server, or what is missing. */
  question() {
    const { node, kind } = this
    const report = reports.get(this.state())
    const clip = clipOf(node, kind.input)
    if (!report && clip.missing) return clip
    const vae = feeding(node, 'vae')?.node
    const builtIn = kind.node !== 'planner' && !vae && !feeding(node, 'model')
    if (!report && !vae && !builtIn) return { missing: 'no_vae' }
    const seen = report ?? clip
    const question = { ...kind.fixed, node: kind.node, locale: language(), family: report?.family ?? (builtIn ? 'tiny' : familyOf(vae)), guessed: !report && clip.guessed }
    for (const name of ['frames', 'width', 'height']) question[name] = seen[name]
    for (const name of kind.widgets) {
      question[name] = valueOf(node, name) ?? report?.[name]
      if (question[name] === undefined) return { missing: 'not_run' }
    }
    if (question.base_layer === 'auto' && feeding(node, 'upscale_model')) question.base_layer = 'upscaler'
    Object.assign(question, kind.node === 'planner' ? this.sampling() : { has_adapter: builtIn || !!feeding(node, 'adapter') })
    return { question, element: clip.element }
  }

  state() {
    return stateOf(this.node, this.kind.input) + stateOf(this.node, 'vae')
  }

  /** Steps and guidance of the sampler that gets the plan, where they can be told. */
  sampling() {
    const sampler = this.fed('PatchVSR_PatchSampler')[0]
    const found = {}
    const value = (input, name) => {
      const holder = upstream(sampler, input).find((node) => widgetOf(node, name))
      return holder && valueOf(holder, name)
    }
    const steps = sampler && value('sigmas', 'steps')
    const guidance = sampler && value('guider', 'cfg')
    if (steps > 0) found.steps = steps
    if (guidance >= 0) found.guidance = guidance
    return found
  }

  /** Nodes of a type whose plan comes from this node, on a wire of its own or with the latent. */
  fed(type) {
    const planner = (node) =>
      feeding(node, 'plan')?.node ?? upstream(node, 'latent').find(({ type }) => type === this.node.type)
    return allNodes().filter((node) => node.type === type && planner(node) === this.node)
  }

  /** The widgets in which Patch Preview nodes of this plan hold the number of a patch. */
  previews() {
    if (!this.picture) return []
    return this.fed('PatchVSR_PatchPreview').flatMap((node) => widgetOf(node, 'patch') ?? [])
  }

  choose(number) {
    this.chosen = number
    for (const node of this.fed('PatchVSR_PatchPreview')) {
      const widget = widgetOf(node, 'patch')
      if (!widget) continue
      widget.value = number
      widget.callback?.(number, app.canvas, node)
    }
    this.picture.choose(number)
    app.graph?.setDirtyCanvas?.(true, true)
  }

  /** A run has told what the clip really is. */
  report(report) {
    const state = this.state()
    reports.delete(state)
    reports.set(state, report)
    if (reports.size > REMEMBERED) reports.delete(reports.keys().next().value)
  }
}

function familyOf(vae) {
  if (vae.type === 'PatchVSR_LoadTinyDefault') return 'tiny'
  return familyOfFile((widgetOf(vae, 'vae_name') ?? widgetOf(vae, 'ckpt_name'))?.value)
}

function row(text, color) {
  const element = document.createElement('div')
  element.textContent = text
  element.style.color = color
  return element
}

/** Zooming and dragging with the middle button belong to the canvas; nodes drawn by Vue pass them on by themselves. */
function forward(event) {
  if (window.LiteGraph?.vueNodesMode) return
  if (event.type === 'wheel') {
    event.preventDefault()
    app.canvas?.processMouseWheel?.(event)
  } else if (event.button === 1 || event.buttons === 4) {
    const handlers = { pointerdown: 'processMouseDown', pointermove: 'processMouseMove', pointerup: 'processMouseUp' }
    app.canvas?.[handlers[event.type]]?.(event)
  }
}

function addPanel(node, kind, inner = node) {
  const panel = new Panel(inner, kind, node)
  const options = { serialize: false, hideOnZoom: false, getMinHeight: () => panel.minHeight }
  const widget = node.addDOMWidget(NAME, 'patchvsr', panel.element, options)
  widget.serialize = false // `options` speaks of prompts, this of workflows
  panel.element.style.minHeight = `${panel.minHeight}px`
  foldAdvanced(node)
  const size = node.computeSize?.() ?? node.size
  node.setSize?.([Math.max(WIDTH_PX, size[0]), size[1]])
  panels.add(panel)
  const { onRemoved, onExecuted } = node
  node.onRemoved = function (...rest) {
    panels.delete(panel)
    return onRemoved?.apply(this, rest)
  }
  node.onExecuted = function (output, ...rest) {
    const report = output?.patchvsr_plan?.[0]
    if (report) panel.report(report)
    return onExecuted?.call(this, output, ...rest)
  }
}

/** What a planner inside a subgraph says stands on the node of the subgraph too. */
function lookIntoSubgraphs() {
  for (const node of allNodes()) {
    if (!node.subgraph || hosts.has(node) || !node.addDOMWidget) continue
    hosts.add(node)
    const inner = [...node.subgraph.nodes].find(({ type }) => type in KINDS)
    if (inner) addPanel(node, KINDS[inner.type], inner)
  }
}

function lookAround() {
  lookIntoSubgraphs()
  return Promise.all([...panels].map(lookAt))
}

async function lookAt(panel) {
  try {
    await panel.look()
  } catch (error) {
    if (!panel.broken) console.warn('PatchVSR: the plan cannot be shown', error)
    panel.broken = true // a preview is not worth a console full of errors
  }
}

app.registerExtension({
  name: 'PatchVSR.PlanOverlay',
  setup() {
    watch(lookAround)
    api.addEventListener('execution_success', () => panels.forEach((panel) => (panel.asked = ''))) // runs are timed
  },
  nodeCreated(node) {
    const kind = KINDS[node.constructor?.comfyClass ?? node.comfyClass]
    if (kind && node.addDOMWidget) addPanel(node, kind)
  }
})
