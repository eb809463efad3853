// Documents of an exported dossier, read by the official Automerge for JavaScript: every kind, every field, the same heads.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as automerge from "@automerge/automerge";
import { startServer } from "../pages/server.mjs";
import { read } from "./read.mjs";

const built = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "target", "debug");
const kieumau = process.env.KIEUMAU ?? join(built, "kieumau");
const folder = mkdtempSync(join(tmpdir(), "kieumau-automerge-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const run = (program, ...words) => execFileSync(program, words, { encoding: "utf8", cwd: folder });

// The period is long enough for all that the sample ward has.
const PERIOD = "2020-01-01..2039-12-31";

test("the official Automerge reads every kind of document of a dossier, field by field", async () => {
  const server = await startServer({ rows: false });
  try {
    const unit = server.person("chief").unit;
    run(kieumau, "export", "unit", unit, "--period", PERIOD, "--data", server.data, "-o", "ward.kieumau");
  } finally {
    await server.stop();
  }
  run(join(built, "documents"), "ward.kieumau", ".");
  const documents = readdirSync(folder).filter((name) => name.endsWith(".automerge"));
  const kinds = new Set();
  for (const name of documents) {
    const { kind, ...ours } = JSON.parse(readFileSync(join(folder, name.replace(".automerge", ".json")), "utf8"));
    kinds.add(kind);
    assert.deepEqual(read(readFileSync(join(folder, name))), ours, `${kind} ${name}`);
  }
  assert.deepEqual([...kinds].toSorted(), ["evidence-file", "patrol-log", "review"]);
  // The twin: one scalar said otherwise is seen.
  const one = read(readFileSync(join(folder, documents[0])));
  const otherwise = structuredClone(one);
  Object.values(otherwise.fields).flat().find(([type]) => ["str", "int", "uint"].includes(type))[1] += "1";
  assert.notDeepEqual(otherwise, one);
});

test("two values in force are both read, and a text is told from a string", () => {
  const base = automerge.from({ name: new automerge.ImmutableString("An"), note: "text" });
  const left = automerge.change(automerge.clone(base), (content) => { content.name = new automerge.ImmutableString("Hà"); });
  const right = automerge.change(automerge.clone(base), (content) => { content.name = new automerge.ImmutableString("Bình"); });
  const merged = automerge.merge(left, right);
  assert.deepEqual(read(automerge.save(merged)).fields, { name: [["str", "Bình"], ["str", "Hà"]], note: [["text", "text"]] });
});
