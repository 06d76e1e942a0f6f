"""Checks a proof of `millrace audit prove` without Millrace: python3 audit_check.py PROOF.json KEY

KEY is any key that the log has or had: the proof's statements lead from one to the next.
Nothing but the standard library. The signature check is that of RFC 8032, section 6, slow and simple.
"""

import base64
import hashlib
import json
import sys

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493


def sha256(data):
    return hashlib.sha256(data).digest()


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    u, v = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    w, z = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = v - u, z - w, z + w, v + u
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(number, point):
    result = (0, 1, 1, 0)
    while number > 0:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - x2) % P:
        sys.exit("the key or the signature is no point of the curve")
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(key, text, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(r + key + text).digest(), "little") % ORDER
    left, right = multiply(s, BASE), add(decompress(r), multiply(h, decompress(key)))
    same = lambda i: (left[i] * right[2] - right[i] * left[2]) % P == 0
    return s < ORDER and same(0) and same(1)


def decode_key(key):
    """Returns name, id and the 32 bytes of a C2SP verifier key."""
    name, _, encoded = key.split("+", 2)
    encoded = base64.b64decode(encoded)
    return name, sha256(name.encode() + b"\n" + encoded)[:4], encoded[1:]


def check_note(note, keys):
    """Returns the lines of a note that has one signature of each of these keys, in this order."""
    text, _, signatures = note.partition("\n\n")
    text, signatures = text + "\n", signatures.splitlines()
    if len(signatures) != len(keys):
        sys.exit("the note does not have as many signatures as it should")
    for key, line in zip(keys, signatures):
        name, key_id, point = decode_key(key)
        _, signer, signature = line.split()
        signature = base64.b64decode(signature)
        if (signer, text.split("\n")[0], signature[:4]) != (name, name, key_id):
            sys.exit("the note was signed with another key")
        if not ed25519(point, text.encode(), signature[4:]):
            sys.exit("the note's signature does not hold")
    return text.splitlines()


def follow_keys(trusted, statements):
    """Returns the keys of the log, oldest first, each with the tree sizes between which it counts.

    A statement is a checkpoint with the lines old-key and new-key, signed by both.
    """
    keys, since = [], 0
    for statement in statements:
        lines = statement.splitlines()
        old, new = (lines[at].split(" ")[1] for at in (5, 6))
        if not (lines[5].startswith("old-key ") and lines[6].startswith("new-key ")):
            sys.exit("a statement names no keys")
        size = int(check_note(statement, [old, new])[1])
        if keys and keys[-1][0] != old or size < since:
            sys.exit("the statements do not follow from each other")
        keys[-1:] = [(old, since, size), (new, size, None)]
        since = size
    keys = keys or [(trusted, 0, None)]
    if trusted not in [key for key, _, _ in keys]:
        sys.exit("no statement leads from the key given to those of the log")
    return keys


def check_checkpoint(note, keys):
    """Returns size and root that one of the keys has signed while it counted."""
    signature = base64.b64decode(note.splitlines()[-1].split()[-1])
    for key, since, until in keys:
        if decode_key(key)[1] == signature[:4]:
            _, size, root = check_note(note, [key])[:3]
            if int(size) < since or until is not None and int(size) > until:
                sys.exit("the checkpoint was signed with a key that did not count for its size")
            return int(size), base64.b64decode(root)
    sys.exit("the checkpoint was signed with another key, and no statement leads there")


def node(left, right):
    return sha256(b"\x01" + left + right)


def check_inclusion(index, size, leaf, path):
    """Returns the root that the audit path leads to (RFC 9162, section 2.1.3.2)."""
    position, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            sys.exit("the audit path is too long")
        if position & 1 or position == last:
            root = node(sibling, root)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = node(root, sibling)
        position, last = position >> 1, last >> 1
    if last:
        sys.exit("the audit path is too short")
    return root


def check_consistency(small, large, small_root, large_root, nodes):
    """RFC 9162, section 2.1.4.2."""
    if small & (small - 1) == 0:
        nodes = [small_root] + nodes
    position, last = small - 1, large - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            sys.exit("the consistency proof is too long")
        if position & 1 or position == last:
            first, second = node(sibling, first), node(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node(second, sibling)
        position, last = position >> 1, last >> 1
    if last or first != small_root or second != large_root:
        sys.exit("the tree is not a part of the one that was signed")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        proof = json.load(file)
    keys = follow_keys(sys.argv[2], proof.get("keys") or [])
    signed_size, signed_root = check_checkpoint(proof["checkpoint"], keys)
    hashes = lambda name: [bytes.fromhex(text) for text in proof.get(name) or []]
    entry = proof["entry"].encode()
    if json.loads(entry)["seq"] != proof["index"] + 1:
        sys.exit("the entry is another one")
    leaf = sha256(b"\x00" + entry)
    size = proof["tree_size"]
    if not 0 <= proof["index"] < size <= signed_size:
        sys.exit("the entry is not in the tree")
    root = check_inclusion(proof["index"], size, leaf, hashes("audit_path"))
    if size == signed_size:
        if root != signed_root:
            sys.exit("the audit path does not lead to the signed root")
    else:
        check_consistency(size, signed_size, root, signed_root, hashes("consistency"))
    print(entry.decode())
    print(f"the proof holds: entry {proof['index']} of {signed_size} that were signed")


main()
