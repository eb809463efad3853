// The sync server of automerge-repo as its package starts it, on a free port. `package.json` puts it on automerge-repo 2.5.6.
// It answers a sync message from memory and writes to its folder a little later, without waiting for the disk.

import { createServer } from "node:net"

const [folder] = process.argv.slice(2)
process.env.DATA_DIR = folder
process.env.PORT = await free()
const log = console.log
console.log = () => {}
const { Server } = await import("@automerge/automerge-repo-sync-server/src/server.js")
await new Server().ready()
log(`ws://127.0.0.1:${process.env.PORT}/`)

/** A port that nobody listens on: the package takes a number and does not say which one it got. */
function free() {
  return new Promise((found) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address()
      probe.close(() => found(String(port)))
    })
  })
}
