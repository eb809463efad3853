"""tuspy as its users write it: `upload.py ENDPOINT FILE STORAGE SHA256`, the token in AUTHORIZATION.

Run again after it was killed, it goes on from where the server is. Each piece carries its sha1, the whole file its SHA-256.
"""

import os
import sys

from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

endpoint, file, storage, sha256 = sys.argv[1:]
client = TusClient(endpoint, headers={"Authorization": os.environ["AUTHORIZATION"]})
uploader = client.uploader(
    file,
    chunk_size=1 << 20,
    metadata={"sha256": sha256, "filetype": "image/jpeg"},
    store_url=True,
    url_storage=FileStorage(storage),
    upload_checksum=True,
    retries=3,
    retry_delay=1,
)
print("resumes" if uploader.offset else "begins", flush=True)
uploader.upload()
print("uploaded", flush=True)
