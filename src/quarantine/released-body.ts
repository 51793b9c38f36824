/** What a release is known by when it comes back (DESIGN §7.6): beside its signed header, the octets below it. */
import { createHash } from 'node:crypto';
import { gather } from '#app/lib/gather';
import type { Message } from '#store/model';

/**
 * The body's hash as a receiver will compute it: SMTP puts CRLF behind a message that has none (DESIGN §7.12). `read`: the
 * stored octets from there to the end.
 */
export async function releasedBodySha256(
  { size, headerSize, bodySha256 }: Message,
  read: (from: number) => AsyncIterable<Uint8Array>,
): Promise<string> {
  if (size <= headerSize) return bodySha256;
  const end = await gather(read(Math.max(headerSize, size - 2)));
  if (end.toString('latin1') === '\r\n') return bodySha256;
  const hash = createHash('sha256');
  for await (const chunk of read(headerSize)) hash.update(chunk);
  return hash.update('\r\n').digest('hex');
}
