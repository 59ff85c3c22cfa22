"""Check an audit journal with nothing but the standard library: python verify_audit.py audit.jsonl"""

import json
import sys
from hashlib import sha256
from pathlib import Path


def check(path):
    """Yield (offset, what is wrong) of one journal file."""
    seq, last, stream = 0, None, None
    damaged, start, offset = b"", 0, 0
    with Path(path).open("rb") as file:
        for line in file:
            body, seal, end = line[:-76], line[-76:-67], line[-67:]
            good = seal == b',"hash":"' and end == sha256(body).hexdigest().encode() + b'"}\n'
            if not good:
                start = start if damaged else offset
                damaged += line
            else:
                said = json.loads(line)
                place = {"offset": start, "length": len(damaged), "sha256": sha256(damaged).hexdigest()}
                if damaged and (said["event"], said["meta"]) != ("audit.recovered", place):
                    yield start, f"{len(damaged)} damaged bytes"
                follows = (said["seq"], said.get("prev"), said["stream"]) == (seq + 1, last, stream or said["stream"])
                if not follows and (last or said["event"] != "audit.segment.start"):
                    yield offset, f"seq {said['seq']} does not follow seq {seq}"
                seq, last, stream, damaged = said["seq"], said["hash"], said["stream"], b""
            offset += len(line)
    if damaged:
        yield start, f"{len(damaged)} damaged bytes at the end"
    print(json.dumps({"stream": stream, "seq": seq, "hash": last}))


if __name__ == "__main__":
    faults = list(check(sys.argv[1]))
    print("\n".join(f"{offset}: {text}" for offset, text in faults) or "intact")
    sys.exit(bool(faults))
