/**
 * Writes above a message what a real filter would write there, and says which envelope it would hand it over with
 * (INTEGRATIONS §1.2, §2.3, §3.3). What the demo shows must be what an admin gets to see later.
 */

export interface DemoVerdict {
  readonly filter: 'amavis' | 'spamassassin' | 'rspamd';
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly score: number;
  readonly rules: readonly (readonly [name: string, score: number])[];
  /** amavis: X-Amavis-Alert. */
  readonly alert?: string;
}

export interface HandOver {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** Header lines that go above the message. */
  readonly block: string;
}

/** The address at the quarantine that names no person; the recipients stand in the block. */
export const handOverAddress = 'spam-quarantine@quarantine.example';

export function handOver(verdict: DemoVerdict, id: string, date: string): HandOver {
  if (verdict.filter === 'amavis') return amavis(verdict, id, date);
  return verdict.filter === 'rspamd' ? rspamd(verdict, id) : spamassassin(verdict);
}

const angled = (addresses: readonly string[]) => addresses.map((address) => `<${address}>`).join(',\r\n ');

function amavis({ sender, recipients, score, rules, alert }: DemoVerdict, id: string, date: string): HandOver {
  const tests = rules.map(([name, points]) => `${name}=${points}`).join(',\r\n  ');
  const spam = !alert;
  const block = [
    `X-Envelope-From: <${sender}>`,
    `X-Envelope-To: ${angled(recipients)}`,
    `X-Envelope-To-Blocked: ${angled(recipients)}`,
    `X-Quarantine-ID: <${id}>`,
    ...(alert ? [`X-Amavis-Alert: ${alert}`] : []),
    `X-Spam-Flag: ${spam ? 'YES' : 'NO'}`,
    `X-Spam-Score: ${score}`,
    `X-Spam-Level: ${'*'.repeat(Math.min(64, Math.floor(score)))}`,
    `X-Spam-Status: ${spam ? 'Yes' : 'No'}, score=${score} tag=-999 tag2=6.31 kill=6.31\r\n tests=[${tests}]\r\n autolearn=no autolearn_force=no`,
    `Received: from mx.harbour.example ([127.0.0.1])\r\n by localhost (mx.harbour.example [127.0.0.1]) (amavis, port 10024) with ESMTP\r\n id ${id}; ${date}`,
  ];
  return { sender, recipients: [handOverAddress], block: lines(block) };
}

function rspamd({ sender, recipients, score, rules }: DemoVerdict, id: string): HandOver {
  const symbols = rules.map(([name, points]) => `\t${name}(${points.toFixed(2)})[]`).join(';\r\n');
  const block = [
    `X-Envelope-From: <${sender}>`,
    `X-Envelope-To: ${angled(recipients)}`,
    `X-Quarantine-ID: <${id}>`,
    'X-Quarantine-Client: [192.0.2.25] helo=mail.elsewhere.example',
    'X-Spam-Action: reject',
    `X-Spam-Score: ${score.toFixed(2)}`,
    `X-Spamd-Result: default: True [${score.toFixed(2)} / 6.00];\r\n${symbols}`,
  ];
  return { sender: 'rspamd@mx.harbour.example', recipients: [handOverAddress], block: lines(block) };
}

function spamassassin({ sender, recipients, score, rules }: DemoVerdict): HandOver {
  const block = [
    'X-Spam-Checker-Version: SpamAssassin 4.0.1 (2024-03-25) on mx.harbour.example',
    'X-Spam-Flag: YES',
    `X-Spam-Level: ${'*'.repeat(Math.min(50, Math.floor(score)))}`,
    `X-Spam-Status: Yes, score=${score.toFixed(1)} required=5.0 tests=${rules.map(([name]) => name).join(',\r\n\t')}\r\n\tautolearn=no version=4.0.1`,
  ];
  return { sender, recipients, block: lines(block) };
}

const lines = (fields: readonly string[]) => fields.map((field) => `${field}\r\n`).join('');
