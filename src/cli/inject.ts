/** `lazaret inject`: one message from standard input, as if a filter had handed it over. Never folds (DESIGN §7.9). */
import { asJson, Failure, UsageError, type Verb } from './verb.ts';
import { verdictIn, verdictOptions } from './verdict.ts';

const directions = ['auto', 'incoming', 'outgoing'] as const;

export const inject: Verb = {
  name: 'inject',
  summary: 'put one message from standard input into a folder',
  about:
    'Prints its UID, one for each recipient. Sessions of a running server see it at once. Line ends become CRLF where the ' +
    'message has LF.',
  options: [
    {
      flags: '--folder <name>',
      help: 'Caught, "Caught (Outgoing)" or "Training Requested"; by its direction if not given',
    },
    { flags: '--rcpt <address>', help: 'whom it was sent to; may be given again', many: true },
    { flags: '--from <address>', help: 'the envelope sender' },
    {
      flags: '--direction <way>',
      help: 'incoming if not given; auto: told from sender and recipient',
      choices: directions,
    },
    { flags: '--date <iso>', help: 'the date under which a mail client sorts it; now, if not given' },
    { flags: '--flags <flags>', help: 'flags and keywords, with blanks between' },
    ...verdictOptions,
  ],
  examples: [
    ['lazaret inject --rcpt ada@harbour.example < message.eml', 'into Caught'],
    [
      'lazaret inject --folder "Training Requested" --rcpt ada@harbour.example --flags "\\Seen $x" < message.eml',
      'as one to be judged',
    ],
    [
      'lazaret inject --rcpt ada@harbour.example --reason spam --score 7.5 --required 5 --rule BAYES_99=3.5 --rule URIBL_BLACK < message.eml',
      'with what a filter found',
    ],
    ['lazaret inject --rcpt ada@harbour.example --date 2026-11-01T08:30:00Z < message.eml', 'with a date'],
  ],
  async run(call) {
    const recipients = call.texts('rcpt').map((address) => ({ address }));
    if (recipients.length === 0) throw new UsageError('--rcpt is needed: whom was it sent to?');
    const date = parseDate(call.text('date'));
    const flags = parseFlags(call.text('flags'));
    const verdict = verdictIn(call);
    const [{ withTools }, { folderNamed }, { withCrlf }] = await Promise.all([
      import('./tools.ts'),
      import('./folder-names.ts'),
      import('#app/files/line-ends'),
    ]);
    const folder = folderNamed(call.text('folder'));
    const way = directions.find((one) => one === call.text('direction'));
    if (folder === 'trash') throw new UsageError('--folder: nothing is put into Trash but by discarding it');
    if ((folder === 'caught' && way === 'outgoing') || (folder === 'outgoing' && way === 'incoming'))
      throw new UsageError(`--folder and --direction: ${way} mail does not belong there`);
    return withTools(call, async ({ admit }) => {
      const admitted = await admit({
        source: notEmpty(withCrlf(octets(call.stdin))),
        sender: call.text('from') ?? '',
        recipients,
        params: {},
        direction: way ?? (folder === 'outgoing' ? 'outgoing' : 'incoming'),
        filter: 'auto',
        ...(folder ? { folder } : {}),
        ...(date ? { internalDate: date } : {}),
        flags,
        ...(verdict ? { verdict } : {}),
        repeat: false,
      });
      if (call.json) call.print(asJson(admitted));
      else for (const { uid, entryId } of admitted) call.print(`${uid ?? entryId}\n`);
      return 0;
    });
  },
};

async function* octets(stdin: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const chunk of stdin) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}

async function* notEmpty(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let empty = true;
  for await (const chunk of source) {
    empty = false;
    yield chunk;
  }
  if (empty) throw new Failure('Standard input held no message');
}

function parseDate(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const date = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(date.getTime()))
    throw new UsageError(`--date: expected a date like 2026-11-01T08:30:00Z, found "${text}"`);
  return date;
}

/** RFC 3501 §9: system flags, and keywords, which are atoms. What only we set is refused. */
function parseFlags(text: string | undefined): string[] {
  const flags = text?.split(/\s+/).filter((flag) => flag !== '') ?? [];
  for (const flag of flags) {
    const system = /^\\(Seen|Answered|Flagged|Deleted|Draft)$/i.test(flag);
    const keyword = /^[!#$&'+-[^-z|}~]+$/.test(flag) && !/^\$(Releasing|ReleaseFailed|Trained)$/i.test(flag);
    if (!system && !keyword) throw new UsageError(`--flags: "${flag}" is no flag or keyword that can be set`);
  }
  return flags;
}
