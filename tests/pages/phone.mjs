// A real phone as a process (`tests/src/bin/phone`), told in JSON lines.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const binary = process.env.KIEUMAU_PHONE ?? join(here, "..", "..", "target", "debug", "phone");

export async function startPhone(server, signIn) {
  const folder = await mkdtemp(join(tmpdir(), "kieumau-phone-"));
  const child = spawn(binary, [folder], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (told) => {
    child.stdin.write(`${JSON.stringify(told)}\n`);
    const answer = JSON.parse((await answers.next()).value);
    if (answer.error) throw new Error(JSON.stringify(answer));
    return answer;
  };
  await ask({ do: "enrol", qr: server.code(signIn).qr });
  return {
    ask,
    async stop() {
      child.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
