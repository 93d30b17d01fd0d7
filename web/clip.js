// What the browser knows of a clip before it was read: the file behind a loader, or the preview on a node.

import { feeding, widgetOf } from './graph_walk.js'
import { api } from '../../scripts/api.js'

const USUAL_FPS = 24
const FILES = { LoadVideo: 'file', LoadImage: 'image' }
const KEEP_SIZES = { GetVideoComponents: 'video' }
const PICTURE_PX = 640
const elements = new Map()

/** {element, width, height, frames, guessed} of what feeds an input; `missing` names the text that says why there is nothing. */
export function clipOf(node, input) {
  let source = feeding(node, input)?.node
  if (!source) return { missing: 'no_clip' }
  while (KEEP_SIZES[source.type]) {
    source = feeding(source, KEEP_SIZES[source.type])?.node
    if (!source) return { missing: 'no_clip' }
  }
  const element = previewOf(source) ?? loaded(source)
  return (element && measured(element, !(source.type in FILES))) ?? { missing: 'not_run' }
}

function previewOf(node) {
  return node.videoContainer?.querySelector?.('video') ?? (node.imgs?.length === 1 ? node.imgs[0] : undefined)
}

/** The file that a loader names, fetched as the loader's own preview fetches it. */
function loaded(node) {
  const name = widgetOf(node, FILES[node.type])?.value
  if (typeof name !== 'string' || !name) return undefined
  const [, path, folder] = name.match(/^(.*?)(?: \[(\w+)\])?$/)
  const cut = path.lastIndexOf('/') + 1
  const query = { filename: path.slice(cut), subfolder: path.slice(0, Math.max(cut - 1, 0)), type: folder ?? 'input' }
  const url = api.apiURL(`/view?${new URLSearchParams(query)}`)
  if (!elements.has(url)) {
    if (elements.size > 8) elements.clear()
    const element = document.createElement(node.type === 'LoadVideo' ? 'video' : 'img')
    Object.assign(element, { preload: 'auto', muted: true, src: url })
    elements.set(url, element)
  }
  return elements.get(url)
}

function measured(element, guessed) {
  if (element instanceof HTMLVideoElement) {
    const { videoWidth: width, videoHeight: height, duration } = element
    if (!width || !Number.isFinite(duration)) return undefined
    return { element, width, height, frames: Math.max(1, Math.round(duration * USUAL_FPS)), guessed: true }
  }
  const { naturalWidth: width, naturalHeight: height } = element
  return width ? { element, width, height, frames: 1, guessed } : undefined
}

/** A small JPEG of the clip as it is shown now; '' when the browser has no picture of it yet. */
export function pictureOf(element) {
  const width = element.videoWidth ?? element.naturalWidth
  const height = element.videoHeight ?? element.naturalHeight
  if (!width || (element instanceof HTMLVideoElement && element.readyState < 2)) return ''
  const shrink = Math.min(1, PICTURE_PX / Math.max(width, height))
  const canvas = document.createElement('canvas')
  canvas.width = Math.max(1, Math.round(width * shrink))
  canvas.height = Math.max(1, Math.round(height * shrink))
  canvas.getContext('2d').drawImage(element, 0, 0, canvas.width, canvas.height)
  return canvas.toDataURL('image/jpeg', 0.8)
}
