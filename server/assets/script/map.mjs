// A patrol on a map without tiles: the track solid, its gaps dashed, observations as numbered buttons. The tables beside it say
// the same in words; where there is no WebGL they are all there is.
import { LngLatBounds, Map as MapView, Marker, NavigationControl, Popup, ScaleControl, setWorkerUrl } from "./maplibre-gl.mjs";

setWorkerUrl(new URL("./maplibre-gl-worker.mjs", import.meta.url).href);

const night = window.matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const line = (coordinates) => ({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates } });
const collection = (features) => ({ type: "FeatureCollection", features });

// A gap lies between two pieces of one recorder: between two recorders there is none.
function style(tracks) {
  const gaps = tracks.flatMap((segments) => segments.slice(1).map((segment, index) => line([segments[index].at(-1), segment[0]])));
  const drawn = tracks.flat().map((segment) => line(segment.length > 1 ? segment : [segment[0], segment[0]]));
  return {
    version: 8,
    sources: {
      track: { type: "geojson", data: collection(drawn) },
      gaps: { type: "geojson", data: collection(gaps) },
    },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": colour("--map-ground") } },
      { id: "gaps", type: "line", source: "gaps", paint: { "line-color": colour("--ink-2"), "line-width": 2, "line-dasharray": [2, 2] } },
      { id: "track", type: "line", source: "track", layout: { "line-cap": "round", "line-join": "round" }, paint: { "line-color": colour("--accent"), "line-width": 3.5 } },
    ],
  };
}

// Text only ever goes in as text: a note may hold anything.
function popup(observation) {
  const body = document.createElement("div");
  for (const [tag, text] of [["strong", observation.title], ["div", observation.when], ["div", observation.note]]) {
    if (!text) continue;
    const part = document.createElement(tag);
    part.textContent = text;
    body.append(part);
  }
  return new Popup({ offset: 16, maxWidth: "260px" }).setDOMContent(body);
}

function button(text, label, kind) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = kind;
  element.textContent = text;
  element.setAttribute("aria-label", label);
  return element;
}

function draw(place) {
  const { tracks, observations, words } = JSON.parse(place.dataset.map);
  const bounds = new LngLatBounds();
  for (const point of tracks.flat(2)) bounds.extend(point);
  for (const observation of observations) bounds.extend(observation.at);
  if (bounds.isEmpty()) return;
  const map = new MapView({
    container: place, style: style(tracks), bounds, fitBoundsOptions: { padding: 48, maxZoom: 17 },
    attributionControl: false, dragRotate: false, pitchWithRotate: false, fadeDuration: 0,
    locale: { "NavigationControl.ZoomIn": words.zoom_in, "NavigationControl.ZoomOut": words.zoom_out, "Map.Title": words.map, "Popup.Close": words.close },
  });
  map.addControl(new NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new ScaleControl({ maxWidth: 120 }), "bottom-left");
  for (const observation of observations) {
    const element = button(observation.number, `${observation.number}. ${observation.title}`, "marker");
    new Marker({ element }).setLngLat(observation.at).setPopup(popup(observation)).addTo(map);
  }
  const paint = () => { place.dataset.night = night.matches; };
  paint();
  night.addEventListener("change", () => { map.setStyle(style(tracks), { diff: true }); paint(); });
  map.once("idle", () => { place.dataset.drawn = "true"; });
}

for (const place of document.querySelectorAll("[data-map]")) {
  try {
    draw(place);
  } catch (reason) {
    // No WebGL: the tables say all of it.
    place.classList.add("no-gl");
    place.textContent = place.dataset.without;
    console.info("map not drawn:", reason.message);
  }
}
