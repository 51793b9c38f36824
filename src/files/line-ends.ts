/**
 * Mail on disk has the line ends of the machine, mail on the wire has CRLF. What comes from a file whose first line ends in
 * LF gets CRLF everywhere; a file that has CRLF is left as it is, down to the odd bare LF in it. Either way the last line
 * gets its end, as it would on the wire. No other octet is touched.
 */
const LF = 10;
const CR = 13;

export async function* withCrlf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let convert: boolean | undefined;
  let last = -1;
  for await (const chunk of source) {
    if (chunk.length === 0) continue;
    if (convert === undefined) {
      const first = chunk.indexOf(LF);
      if (first >= 0) convert = (first > 0 ? chunk[first - 1] : last) !== CR;
    }
    yield convert ? converted(chunk, last) : chunk;
    last = chunk[chunk.length - 1] as number;
  }
  if (last >= 0 && last !== LF) yield Buffer.from(last === CR ? '\n' : '\r\n');
}

function converted(chunk: Uint8Array, before: number): Uint8Array {
  let bare = 0;
  for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, at + 1))
    if ((at > 0 ? chunk[at - 1] : before) !== CR) bare++;
  if (bare === 0) return chunk;
  const out = Buffer.allocUnsafe(chunk.length + bare);
  let to = 0;
  let from = 0;
  for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, at + 1)) {
    if ((at > 0 ? chunk[at - 1] : before) === CR) continue;
    out.set(chunk.subarray(from, at), to);
    to += at - from;
    out[to++] = CR;
    from = at;
  }
  out.set(chunk.subarray(from), to);
  return out;
}
