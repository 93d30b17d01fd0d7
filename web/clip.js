// What the browser knows of a clip before it was read: the file behind a loader, or the preview on a node.

import { feeding, widgetOf } from './graph_walk.js'
import { api } from '../../scripts/api.js'

const USUAL_FPS = 24
const FILES = { LoadVideo: 'file', LoadImage: 'image' }
const KEEP_SIZES = { GetVideoComponents: 'video' }
const PICTURE_PX = 640
const FIRST_FRAME = 0.01 // seconds
const elements = new Map()

/** {element, width, height, frames, guessed} of what feeds an input; `missing` names the text that says why there is nothing. */
export function clipOf(node, input) {
  let source = feeding(node, input)?.node
  if (!source) return { missing: 'no_clip' }
  while (KEEP_SIZES[source.type]) {
    source = feeding(source, KEEP_SIZES[source.type])?.node
    if (!source) return { missing: 'no_clip' }
  }
  const preview = previewOf(source)
  const element = isShown(preview) && isOf(preview, source) ? preview : (loaded(source) ?? preview)
  if (element && isWithoutPicture(element)) return { missing: 'no_picture' }
  return (element && measured(element, !(source.type in FILES))) ?? { missing: 'not_run' }
}

/** A file of sound alone; a video of which nothing was read yet has no picture either, but may get one. */
function isWithoutPicture(element) {
  return element instanceof HTMLVideoElement && element.readyState >= 2 && !element.videoWidth
}

/** Where it is not, as on a folded node, it paints black. */
function isShown(preview) {
  return !!preview?.isConnected && preview.offsetWidth > 0
}

/** Nodes drawn by Vue keep the preview of the file that was chosen first, on no page, where it paints black. */
function isOf(preview, node) {
  const name = widgetOf(node, FILES[node.type])?.value
  return typeof name !== 'string' || preview.src.includes(encodeURIComponent(partsOf(name).filename))
}

function previewOf(node) {
  return node.videoContainer?.querySelector?.('video') ?? (node.imgs?.length === 1 ? node.imgs[0] : undefined)
}

/** {filename, subfolder, type} of a loader's choice, such as `folder/clip.mp4 [output]`. */
function partsOf(name) {
  const [, path, folder] = name.match(/^(.*?)(?: \[(\w+)\])?$/)
  const cut = path.lastIndexOf('/') + 1
  return { filename: path.slice(cut), subfolder: path.slice(0, Math.max(cut - 1, 0)), type: folder ?? 'input' }
}

/** The file that a loader names, fetched as the loader's own preview fetches it. */
function loaded(node) {
  const name = widgetOf(node, FILES[node.type])?.value
  if (typeof name !== 'string' || !name) return undefined
  const url = api.apiURL(`/view?${new URLSearchParams(partsOf(name))}`)
  if (!elements.has(url)) {
    if (elements.size > 8) elements.clear()
    const element = document.createElement(node.type === 'LoadVideo' ? 'video' : 'img')
    element.addEventListener('loadeddata', showFrame, { once: true })
    Object.assign(element, { preload: 'auto', muted: true, src: url })
    elements.set(url, element)
  }
  return elements.get(url)
}

/** A video that is on no page paints black until it was moved. */
function showFrame({ target }) {
  target.currentTime = Math.min(FIRST_FRAME, target.duration / 2 || 0)
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
