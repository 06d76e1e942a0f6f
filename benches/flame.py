#!/usr/bin/env python3
"""Draws a flame graph: consumes what `perf script -F comm,ip,sym` prints, produces an SVG.

perf script -F comm,ip,sym -i perf.data | benches/flame.py TITLE > flame.svg
"""

import html
import re
import sys
import zlib

WIDTH, HEIGHT, SHARE_MIN = 1200, 16, 0.0008


def name_of(symbol):
    """A function's name without offset, hash and project prefix."""
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
    symbol = re.sub(r"::h[0-9a-f]{16}$", "", symbol)
    return symbol.replace("millrace_", "")


def stacks(lines):
    """Thread and functions of each sample, outermost first."""
    thread, frames = None, []
    for line in lines:
        if not line.strip():
            if thread:
                yield [thread, *reversed(frames)]
            thread, frames = None, []
        elif not line[0].isspace() or thread is None:
            # The program starts itself again for huge pages: its main thread has another name then.
            thread, frames = line.strip().replace("exe", "clients"), []
        elif not line.rstrip().endswith("(inlined)"):
            parts = line.split(None, 1)
            frames.append(name_of(parts[1].strip()) if len(parts) > 1 else "[unknown]")
    if thread:
        yield [thread, *reversed(frames)]


# What every thread begins with, and wrappers that do nothing but call.
HIDDEN = re.compile(
    r"^(\[unknown\]|__?clone3?|start_thread|main|_start|__libc_start.*|std::.*|core::ops::function.*"
    r"|<?alloc::boxed.*|.*\{\{vtable\.shim\}\}.*|.*catch_unwind.*|__rust_begin_short_backtrace)$"
)


def tree_of(samples):
    tree, count = [0, {}], 0
    for stack in samples:
        count += 1
        node = tree
        for at, name in enumerate(stack):
            if at and HIDDEN.match(name):
                continue
            node = node[1].setdefault(name, [0, {}])
            node[0] += 1
    return tree, count


def draw(children, x, depth, count, boxes):
    for name, (samples, below) in sorted(children.items()):
        if samples / count >= SHARE_MIN:
            boxes.append((depth, x, samples, name))
            draw(below, x, depth + 1, count, boxes)
        x += samples


def main():
    tree, count = tree_of(stacks(sys.stdin))
    boxes = []
    at = 0
    for name, node in sorted(tree[1].items(), key=lambda it: -it[1][0]):
        draw({name: node}, at, 0, count, boxes)
        at += node[0]
    height = (max(box[0] for box in boxes) + 3) * HEIGHT
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
          ' font-family="monospace" font-size="10">')
    print(f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
          f'<text x="4" y="14" font-size="12">{html.escape(sys.argv[1])}</text>')
    for depth, x, samples, name in boxes:
        left, width = WIDTH * x / count, WIDTH * samples / count
        top = height - (depth + 1) * HEIGHT
        shade = zlib.crc32(name.encode()) % 60
        fill = "#7f9fbf" if depth == 0 else f"#{225 + shade // 3:02x}{140 + shade:02x}{70 + shade:02x}"
        text = name if len(name) * 6.1 < width - 4 else name.split("::")[-1]
        text = text[: int((width - 4) / 6.1)]
        label = (f'<text x="{left + 2:.1f}" y="{top + 11}">{html.escape(text)}</text>'
                 if len(text) > 2 else "")
        print(f"<g><title>{html.escape(name)}: {100 * samples / count:.1f}%</title>"
              f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.5, 0.2):.1f}" height="15"'
              f' fill="{fill}"/>{label}</g>')
    print("</svg>")


if __name__ == "__main__":
    main()
