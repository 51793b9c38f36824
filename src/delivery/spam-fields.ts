/**
 * Fields of a released header under other names (AC-15): `X-Spam-Flag: YES` becomes `X-Pre-Release-X-Spam-Flag: YES`, so that
 * no rule behind us files a released message as spam again, and `Delivered-To` of an earlier delivery does not look like a
 * loop. What a signature names keeps its name: the signature is worth more than the rule. Lines, order and line ends stay as
 * they are.
 */

/**
 * By which mail is filed as spam: fields of SpamAssassin, amavis, Rspamd and its kin, Rspamd's `Deliver-To: Junk`. And those
 * of a delivery that was: Dovecot keeps a `Return-Path` it finds, Postfix bounces what was `Delivered-To` the same address.
 */
const namesToChange = new Set(['x-spam', 'x-bogosity', 'deliver-to', 'delivered-to', 'return-path']);
const families = /^x-(?:spam|spamd|rspamd|dspam)-[!-9;-~]+$/;
/** Longer than any such field's name. */
const longestName = 100;

export const renamed = 'X-Pre-Release-';

/** `header` is whole, its empty line included. `signed`: lower-case names that signatures list. */
export function withRenamedSpamFields(header: Buffer, signed: ReadonlySet<string>): Buffer {
  const pieces: Buffer[] = [];
  let kept = 0;
  for (let at = 0; at < header.length; ) {
    const colon = header.subarray(at, at + longestName).indexOf(0x3a);
    const name =
      colon < 0
        ? ''
        : header
            .subarray(at, at + colon)
            .toString('latin1')
            .trimEnd()
            .toLowerCase();
    if ((namesToChange.has(name) || families.test(name)) && !signed.has(name)) {
      pieces.push(header.subarray(kept, at), Buffer.from(renamed));
      kept = at;
    }
    const end = header.indexOf(0x0a, at);
    at = end < 0 ? header.length : end + 1;
  }
  pieces.push(header.subarray(kept));
  return Buffer.concat(pieces);
}
