/** What the starters of real programs have in common: whether a program is here, and a daemon that ends with the test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import type { Test } from 'tap';

/** For the top of a test file: false when the program is not here, or needs root and we are not. With CI set that fails. */
export function programOrSkip(t: Test, program: string, packageName: string, needsRoot = true): boolean {
  const problem = !isThere(program)
    ? `no ${program} here: \`apt-get install ${packageName}\` has it`
    : needsRoot && process.getuid?.() !== 0
      ? `${program} has to be started as root`
      : undefined;
  if (problem === undefined) return true;
  if (process.env.CI) t.fail(problem);
  else t.test(`with ${program}`, { skip: problem }, () => {});
  return false;
}

function isThere(program: string): boolean {
  if (program.startsWith('/')) return existsSync(program);
  return spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`]).status === 0;
}

/** A daemon in the foreground, with all its children in a process group of its own. */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  /** All it has written, to both its outputs. */
  said = '';
  #wake: (() => void)[] = [];

  constructor(command: string, args: readonly string[], cwd: string) {
    const path = `${process.env.PATH}:/usr/sbin:/sbin`;
    const child = spawn(command, args, {
      cwd,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: path, LANG: 'C.UTF-8' },
    });
    this.#child = child;
    for (const output of [child.stdout, child.stderr])
      output.setEncoding('utf8').on('data', (text: string) => {
        this.said += text;
        this.#tell();
      });
    this.#ended = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        this.said += `${error}\n`;
        resolve();
      });
      child.once('exit', () => resolve());
    }).then(() => this.#tell());
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves with the match as soon as it has said so, also before now. @throws if it ends without */
  async says(form: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = form.exec(this.said);
      if (match) return match;
      if (!this.isRunning) throw new Error(`it ended without saying ${form}:\n${this.said.slice(-4000)}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Resolves when something greets on that port of loopback. @throws if the daemon ends before */
  async listens(port: number): Promise<void> {
    while (!(await greets(port))) {
      if (!this.isRunning) throw new Error(`it ended before it listened:\n${this.said.slice(-4000)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** With all its children; those that do not go are killed. */
  async end(): Promise<void> {
    this.#signal('SIGTERM');
    const late = setTimeout(() => this.#signal('SIGKILL'), 5000);
    await this.#ended;
    clearTimeout(late);
    this.#signal('SIGKILL');
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch {
      // It has gone.
    }
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}
