// PouchDB's official client: takes all there is into a leveldb of its own, then asks some times whether anything is new. One JSON line.

import { mkdirSync } from "node:fs"
import PouchDB from "pouchdb"

const [remote, folder] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
const local = new PouchDB(`${folder}/local`)
await PouchDB.sync(local, remote)
const milliseconds = []
for (let round = 0; round < 5; round++) {
  const begun = performance.now()
  await PouchDB.sync(local, remote)
  milliseconds.push(performance.now() - begun)
}
console.log(JSON.stringify({ milliseconds }))
await local.close()
