// Draws the places of patches over the frame, and says which one was pointed at.

const SVG = 'http://www.w3.org/2000/svg'
const INSETS = { primary: 0, auxiliary: 1.5, corner: 3 }
const STROKE_PX = 1.5
const FINE_STROKE_PX = 1 // where there are many patches
const MANY = 60

export class PlanPicture {
  /** onChosen(number): 0 when the chosen place was clicked again. */
  constructor(onChosen) {
    this.element = document.createElement('div')
    this.element.style.cssText = 'position:relative; flex:0 1 auto; min-height:0; display:none'
    this.svg = made('svg', { width: '100%', height: '100%', style: 'position:absolute; inset:0; cursor:crosshair' })
    this.label = document.createElement('div')
    this.label.style.cssText =
      'position:absolute; left:4px; bottom:4px; padding:0 5px; border-radius:3px; pointer-events:none; ' +
      'background:rgba(0,0,0,.75); color:#fff; font-size:11px; line-height:16px; display:none'
    this.element.append(this.svg, this.label)
    this.places = []
    this.outlines = []
    this.chosen = 0
    this.svg.addEventListener('pointermove', (event) => this.point(this.placeAt(event)))
    this.svg.addEventListener('pointerleave', () => this.point(null))
    this.svg.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return
      event.stopPropagation() // the node is not to be dragged
      const place = this.placeAt(event)
      if (place) onChosen(place.number === this.chosen ? 0 : place.number)
    })
  }

  /** An answer of the server, and the clip's picture as an address or ''. */
  show({ target: [height, width], places, colors }, picture) {
    this.places = places
    this.size = [width, height]
    this.element.style.display = 'block'
    this.element.style.aspectRatio = `${width} / ${height}`
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
    const ground = made('rect', { width, height, fill: '#1b1b1b' })
    this.image = made('image', { width, height, opacity: 0.6, preserveAspectRatio: 'none' })
    this.setPicture(picture)
    const inset = Math.max(width, height) / 400
    this.outlines = places.map((place) => outline(place, inset * INSETS[place.kind], colors[place.kind]))
    this.svg.replaceChildren(ground, this.image, ...this.outlines)
    this.pointed = null
    this.mark()
  }

  setPicture(picture) {
    if (picture) this.image?.setAttribute('href', picture)
    else this.image?.removeAttribute('href')
  }

  hide() {
    this.element.style.display = 'none'
    this.places = this.outlines = []
  }

  choose(number) {
    if (number === this.chosen) return
    this.chosen = number
    this.mark()
  }

  mark() {
    const stroke = this.places.length > MANY ? FINE_STROKE_PX : STROKE_PX
    this.outlines.forEach((rectangle, index) => {
      const place = this.places[index]
      const chosen = place.number === this.chosen
      rectangle.setAttribute('fill', chosen ? rectangle.getAttribute('stroke') : 'none')
      rectangle.setAttribute('stroke-width', chosen || place === this.pointed ? 2 * stroke : stroke)
    })
    const place = this.pointed ?? this.places.find(({ number }) => number === this.chosen)
    this.label.style.display = place ? 'block' : 'none'
    if (place) this.label.textContent = `${this.pointed ? '' : 'chosen: '}patch ${place.number}, ${place.kind}`
  }

  point(place) {
    if (place === this.pointed) return
    this.pointed = place
    this.mark()
  }

  /** Of the patches under the pointer the one whose middle is nearest, which has the most weight there. */
  placeAt(event) {
    const matrix = this.svg.getScreenCTM()
    if (!matrix) return null
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse())
    const distance = (place) =>
      Math.max(
        Math.abs(x - place.x - place.width / 2) / place.width,
        Math.abs(y - place.y - place.height / 2) / place.height
      )
    const under = this.places.filter((place) => distance(place) <= 0.5)
    return under.reduce((best, place) => (best && distance(best) <= distance(place) ? best : place), null)
  }
}

function outline({ x, y, width, height }, inset, color) {
  return made('rect', {
    x: x + inset,
    y: y + inset,
    width: Math.max(width - 2 * inset, 1),
    height: Math.max(height - 2 * inset, 1),
    fill: 'none',
    'fill-opacity': 0.3,
    stroke: `rgb(${color})`,
    'vector-effect': 'non-scaling-stroke'
  })
}

function made(name, attributes) {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  return element
}
