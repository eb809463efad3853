// The real server on a port of its own with the demo's people, in a folder that is gone afterwards.
import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
export const binary = process.env.KIEUMAU ?? join(here, "..", "..", "target", "debug", "kieumau");

// With `rows` that no phone wrote, for pages; without them every document is whole, as an export needs it.
export async function startServer({ rows = true } = {}) {
  const data = await mkdtemp(join(tmpdir(), "kieumau-pages-"));
  const child = spawn(binary, ["demo", "--data", data, "--listen", "127.0.0.1:0", "--json", "--nights", "20"], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`kieumau demo ended with ${code} before it said where it listens`)));
  });
  const { url, people } = JSON.parse(line);
  const person = (role) => people.find((one) => one.role === role);
  const seed = rows ? await readFile(join(here, "seed.sql"), "utf8") : "-- none";
  sql(data, seed.replaceAll(":chief", person("chief").sign_in).replaceAll(":officer", person("officer").sign_in));
  return {
    url, people, person, data,
    sql: (text) => sql(data, text),
    // What a phone of this person, enrolled now, says in `Authorization`.
    authorization(signIn) {
      const { code } = JSON.parse(execFileSync(binary, ["phone", "code", "--json", "--person", signIn, "--data", data], { encoding: "utf8" }));
      return execFileSync(join(dirname(binary), "token"), [url, code], { encoding: "utf8" }).trim();
    },
    code: (signIn) => JSON.parse(execFileSync(binary, ["phone", "code", "--json", "--person", signIn, "--data", data], { encoding: "utf8" })),
    async stop() {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await gone;
      await rm(data, { recursive: true, force: true });
    },
  };
}

// Runs SQL in the server's SQLite file; the rows of the last statement. Python's module, because Node 20 has none of its own.
function sql(data, text) {
  const program = "import json,sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=20)\nt=sys.stdin.read()\n"
    + "r=[] if t.lstrip().startswith('--') else c.execute(t).fetchall()\nif not r: c.executescript(t)\nc.commit()\nprint(json.dumps(r))";
  return JSON.parse(execFileSync("python3", ["-c", program, join(data, "kieumau.db")], { input: text, encoding: "utf8" }));
}
