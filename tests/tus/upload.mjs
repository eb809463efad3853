// tus-js-client as its users write it: `node upload.mjs ENDPOINT FILE STORAGE SHA256`, the token in AUTHORIZATION.
// Run again after it was killed, it goes on from where the server is.
import { createReadStream } from "node:fs";
import { FileUrlStorage, Upload } from "tus-js-client";

const [endpoint, file, storage, sha256] = process.argv.slice(2);
const upload = new Upload(createReadStream(file), {
  endpoint,
  headers: { Authorization: process.env.AUTHORIZATION },
  metadata: { sha256, filetype: "image/jpeg" },
  urlStorage: new FileUrlStorage(storage),
  fingerprint: async () => sha256,
  uploadDataDuringCreation: process.env.DURING_CREATION === "yes",
  // The server answers 423 until it has seen that the one before is dead.
  retryDelays: [200, 1_000, 3_000],
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log("uploaded");
  },
});
const [previous] = await upload.findPreviousUploads();
if (previous) upload.resumeFromPreviousUpload(previous);
console.log(previous ? "resumes" : "begins");
upload.start();
