// What the official Automerge reads in one document, said as `documents` (tests/src/bin/documents.rs) says it.
import * as automerge from "@automerge/automerge";

export function read(bytes) {
  const document = automerge.load(bytes);
  // The typed view under the proxies: these tell an integer from a float, and a string from a text.
  const typed = automerge.getBackend(document);
  return { heads: automerge.getHeads(document).toSorted(), fields: object(typed, "_root", "map") };
}

function object(document, id, type) {
  if (type === "text") return document.text(id);
  if (type === "list") return Array.from({ length: document.length(id) }, (_, at) => values(document, id, at));
  return Object.fromEntries(document.keys(id).map((key) => [key, values(document, id, key)]));
}

// Every value in force at this place, in the order of their text.
function values(document, id, at) {
  return document.getAll(id, at)
    .map((found) => found.length === 2 ? [found[0], object(document, found[1], found[0])] : scalar(found))
    .map((value) => [Buffer.from(JSON.stringify(value)), value])
    .sort(([left], [right]) => Buffer.compare(left, right))
    .map(([, value]) => value);
}

function scalar([type, value]) {
  switch (type) {
    case "str": case "boolean": case "null": return [type, value];
    case "int": case "uint": return [type, BigInt(value).toString()];
    case "timestamp": return [type, BigInt(value.getTime()).toString()];
    case "bytes": return [type, Buffer.from(value).toString("hex")];
    case "f64": {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(value);
      return [type, bytes.toString("hex")];
    }
    default: throw new Error(`a value of the type ${type}`);
  }
}
