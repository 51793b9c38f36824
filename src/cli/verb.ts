/**
 * A verb of the command line: what it is called, what people read about it, and what it does, in one record. program.ts
 * makes commander's commands of these, tools/docs.mjs docs/cli.md.
 *
 * Verb files import only what costs nothing; the store, the settings and the server are loaded when `run` asks for them, so
 * that every verb, and its help, is there at once.
 */
import type { Config } from '#app/config/schema';

export interface Verb {
  /** `list`, or `config init` for one in a group. */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** More, below it. */
  readonly about?: string;
  readonly arguments?: readonly {
    readonly name: string;
    readonly help: string;
    readonly optional?: true;
    readonly many?: true;
  }[];
  readonly options?: readonly {
    /** `--folder <name>` or `--wait`. */
    readonly flags: string;
    readonly help: string;
    /** May stand several times. */
    readonly many?: true;
    readonly choices?: readonly string[];
    /** An empty value is refused: a variable that is not set must not mean the default. */
    readonly filled?: true;
  }[];
  /** What is typed, and what it does. At least one. */
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  /** The exit code: 0 only when all that was asked for was done. What is thrown is told and becomes 1. */
  run(call: Call): Promise<number>;
}

export interface Call {
  readonly arguments: readonly string[];
  /** An option's value; undefined where it is absent or empty. */
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  flag(name: string): boolean;
  readonly json: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: NodeJS.ReadableStream;
  /** The configuration file, if there is one. */
  file(): Promise<string | undefined>;
  /** @throws ConfigError */
  config(): Promise<Config>;
  /** To standard output. */
  print(text: string): void;
  /** To standard error: what is not the answer. */
  note(text: string): void;
}

/** What was typed makes no sense; told together with a hint at the verb's help. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Not done, and why, in one sentence that is told as it is. */
export class Failure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Failure';
  }
}

/** Without what amavis asks of whoever wants a message released: a listing is read by more people than may release. */
export const asJson = (value: unknown): string =>
  `${JSON.stringify(value, (name, inner) => (name === 'secretId' ? undefined : inner), 2)}\n`;
