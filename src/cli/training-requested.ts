/**
 * `lazaret training-requested on|off|default|show NAME`: for whom a filter's copies of delivered mail are kept (IN-7). Said in
 * the store, so that servers which run know it at once.
 */
import type { Standing } from '#app/policy/training-requested';
import { asJson, type Call, Failure, type Verb } from './verb.ts';

const nameArgument = { name: 'name', help: 'a domain of ours, or an address in one' } as const;

async function say(call: Call, state?: 'on' | 'off' | 'default'): Promise<number> {
  const [{ withTools }, { cleanLine }] = await Promise.all([import('./tools.ts'), import('#app/lib/terminal')]);
  const typed = call.arguments[0] as string;
  return withTools(call, async ({ trainingRequested, book }) => {
    const name = trainingRequested.nameOf(typed);
    if (name === undefined)
      throw new Failure(
        `${cleanLine(typed)} is neither a domain${book.hasDomains ? ' that stands under `domains`' : ''}, nor an address in one`,
      );
    const standing = state
      ? await trainingRequested.put(name, state === 'default' ? undefined : state)
      : await trainingRequested.standing(name);
    call.print(call.json ? asJson(standing) : `${cleanLine(name)}: ${standing.state}, ${why(standing)}\n`);
    return 0;
  });
}

const why = ({ by }: Standing) =>
  ({
    name: 'as was said for it',
    domain: 'as was said for its domain',
    settings: 'by the settings (trainingRequested)',
  })[by];

export const trainingRequestedOn: Verb = {
  name: 'training-requested on',
  summary: 'keep copies of delivered mail for somebody to judge',
  about:
    'A filter may hand over copies of mail that it was unsure about and delivered. They are kept in Training Requested only for ' +
    'those for whom this is on. Servers that run know it at once.',
  arguments: [nameArgument],
  examples: [
    ['lazaret training-requested on harbour.example', 'for everybody in a domain'],
    ['lazaret training-requested on ada@harbour.example', 'for one'],
  ],
  run: (call) => say(call, 'on'),
};

export const trainingRequestedOff: Verb = {
  name: 'training-requested off',
  summary: 'throw such copies away again',
  about:
    'What is in Training Requested stays there until its time is over. Said for an address, it goes before its domain.',
  arguments: [nameArgument],
  examples: [['lazaret training-requested off ben@harbour.example', 'for one, though it is on for the domain']],
  run: (call) => say(call, 'off'),
};

export const trainingRequestedDefault: Verb = {
  name: 'training-requested default',
  summary: 'take back what was said by on or off',
  about: 'What was said for the domain holds again, or else the setting `trainingRequested`.',
  arguments: [nameArgument],
  examples: [['lazaret training-requested default ben@harbour.example', 'as it is for the domain']],
  run: (call) => say(call, 'default'),
};

export const trainingRequestedShow: Verb = {
  name: 'training-requested show',
  summary: 'say whether such copies are kept for somebody, and why',
  arguments: [nameArgument],
  examples: [['lazaret training-requested show ada@harbour.example', 'on or off, and by whose word']],
  run: (call) => say(call),
};
