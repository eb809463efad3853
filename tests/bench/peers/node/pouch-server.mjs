// PouchDB behind HTTP: express-pouchdb on leveldb. It answers when leveldb has taken the write, which does not wait for the disk.

import { createRequire } from "node:module"
import { mkdirSync } from "node:fs"

const [folder] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
// What it writes for itself beside the data (its log, its configuration) goes into the folder too.
process.chdir(folder)
const require = createRequire(import.meta.url)
const express = require("express")
const PouchDB = require("pouchdb").defaults({ prefix: `${folder}/` })
const app = express()
app.use(require("express-pouchdb")(PouchDB, { mode: "minimumForPouchDB", logPath: `${folder}/log.txt` }))
const server = app.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`)
})
