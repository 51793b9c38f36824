/** The log as the parts see it. assemble.ts hands them a pino logger; tests hand them one that remembers. */
export interface Log {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
