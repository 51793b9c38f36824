/** Messages for the benchmark: always the same ones, median 8 KB, every twentieth with an attachment. */

/** A small generator of numbers in [0, 1) (mulberry32), so that each run measures the same bytes. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const words = 'harbour quay anchor rope sail crane invoice meeting storm tide lantern customs pilot cargo ledger'.split(
  ' ',
);

/** The message of this number. `short`: with a body of one line. */
export function message(at: number, length: 'usual' | 'short' = 'usual'): Buffer {
  const random = numbers(at + 1);
  const word = () => words[Math.floor(random() * words.length)]!;
  const size = length === 'short' ? 1 : Math.min(65536, Math.round(6000 * Math.exp(random() * 1.4 - 0.5)));
  const sender = `${word()}${at % 977}@${word()}.example`;
  const head = [
    `Received: from mail.${word()}.example (mail.${word()}.example [192.0.2.${at % 250}])`,
    `\tby mx.harbour.example (Postfix) with ESMTPS id 4X${at.toString(36)}`,
    `\tfor <ada@harbour.example>; Tue, 3 Nov 2026 10:${String(at % 60).padStart(2, '0')}:00 +0000 (UTC)`,
    `From: "${word()} ${word()}" <${sender}>`,
    'To: Ada <ada@harbour.example>',
    `Subject: ${word()} ${word()} ${at}`,
    `Date: Tue, 3 Nov 2026 10:${String(at % 60).padStart(2, '0')}:00 +0000`,
    `Message-ID: <bench-${at}@${word()}.example>`,
    'MIME-Version: 1.0',
  ];
  const lines = (octets: number) => {
    const out: string[] = [];
    for (let left = octets; left > 0; ) {
      const line = Array.from({ length: 10 }, word).join(' ');
      out.push(line);
      left -= line.length + 2;
    }
    return out;
  };
  if (at % 20 !== 0 || length === 'short')
    return Buffer.from([...head, 'Content-Type: text/plain; charset=us-ascii', '', ...lines(size), ''].join('\r\n'));
  const attachment = Buffer.from(lines(size).join('\n')).toString('base64').replace(/.{76}/g, '$&\r\n');
  return Buffer.from(
    [
      ...head,
      'Content-Type: multipart/mixed; boundary="b1"',
      '',
      '--b1',
      'Content-Type: text/plain; charset=us-ascii',
      '',
      ...lines(600),
      '--b1',
      'Content-Type: application/pdf; name="scan.pdf"',
      'Content-Transfer-Encoding: base64',
      'Content-Disposition: attachment; filename="scan.pdf"',
      '',
      attachment,
      '--b1--',
      '',
    ].join('\r\n'),
  );
}

/** The same with the block of a filter above it: what amavis writes, with twenty rules. */
export function marked(at: number): Buffer {
  const random = numbers(at + 1);
  const rules = Array.from({ length: 20 }, (_, n) => `RULE_OF_THE_BENCH_${n}=${(random() * 3 - 1).toFixed(3)}`);
  const id = `B${at.toString(36).padStart(11, '0')}`;
  const block = [
    'X-Envelope-From: <sender@bench.example>',
    'X-Envelope-To: <ada@harbour.example>',
    'X-Envelope-To-Blocked: <ada@harbour.example>',
    `X-Quarantine-ID: <${id}>`,
    'X-Spam-Flag: YES',
    'X-Spam-Score: 9.3',
    'X-Spam-Level: *********',
    'X-Spam-Status: Yes, score=9.3 tag=-999 tag2=6.31 kill=6.31',
    ` tests=[${rules.join(',\r\n  ')}]`,
    ' autolearn=no autolearn_force=no',
    'Received: from mx.harbour.example ([127.0.0.1])',
    ' by localhost (mx.harbour.example [127.0.0.1]) (amavis, port 10024) with ESMTP',
    ` id ${id}; Tue, 3 Nov 2026 10:00:00 +0000 (UTC)`,
    '',
  ].join('\r\n');
  return Buffer.concat([Buffer.from(block), message(at)]);
}
