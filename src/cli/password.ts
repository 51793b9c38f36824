/** Where a new password comes from: made up, standard input, or typed twice without being shown. */
import { type Call, Failure, UsageError } from './verb.ts';

export interface NewPassword {
  readonly password: string;
  readonly generated: boolean;
}

export const passwordOptions = [
  { flags: '--generate', help: 'make one up and print it' },
  { flags: '--password-stdin', help: 'read it from standard input, up to the first line end' },
] as const;

export async function newPassword(call: Call): Promise<NewPassword> {
  if (call.flag('generate') && call.flag('password-stdin'))
    throw new UsageError('--generate and --password-stdin exclude each other');
  const { generatePassword } = await import('#app/accounts/generate');
  if (call.flag('generate')) return { password: generatePassword(), generated: true };
  if (call.flag('password-stdin')) return { password: checked(await firstLine(call.stdin)), generated: false };
  if (call.stdin !== process.stdin || !process.stdin.isTTY)
    throw new UsageError('There is no terminal to ask for the password: use --password-stdin or --generate');
  const password = checked(await typed('New password: '));
  if ((await typed('Once more: ')) !== password) throw new Failure('The two are not the same; nothing was changed');
  return { password, generated: false };
}

const minLength = 8;

function checked(password: string): string {
  if ([...password].length < minLength) throw new Failure(`A password has at least ${minLength} characters`);
  return password;
}

async function firstLine(stdin: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  stdin.setEncoding('utf8');
  for await (const chunk of stdin) {
    text += chunk;
    if (/[\r\n]/.test(text) || text.length > 10_000) break;
  }
  return text.split(/\r?\n/, 1)[0] as string;
}

/** Asks on the terminal. Nothing of what is typed is shown. */
function typed(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (finish: () => void) => {
      stdin.off('data', read).setRawMode(false).pause();
      stderr.write('\n');
      finish();
    };
    const read = (chunk: string) => {
      for (const key of chunk) {
        if (key === '\r' || key === '\n') return end(() => resolve(text));
        if (key === '\x03' || key === '\x04') return end(() => reject(new Failure('Stopped; nothing was changed')));
        if (key === '\x7f' || key === '\b') text = [...text].slice(0, -1).join('');
        else if (key === '\x15') text = '';
        else if (key >= ' ') text += key;
      }
    };
    stdin.on('data', read).resume();
  });
}
