/**
 * The log: pino, JSON or text, on standard error, so that what a verb prints stays its own. What strangers put into mail
 * reaches the log with its control and direction characters escaped (INTEGRATIONS §8.2 row 23); passwords do not reach it.
 */
import { isatty } from 'node:tty';
import { destination, pino } from 'pino';
import type { Log } from './log.ts';

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'auto' | 'text' | 'json';
  /** Standard error by default; tests read what is written. */
  readonly to?: { write(line: string): unknown };
}

export function createLogger({ level, format, to }: LoggerOptions): Log & { flush(): void } {
  // Asynchronous: a reader that stalls must not stall the server. Flushed at the end.
  const stream = to ?? destination({ dest: 2, sync: false });
  const text = format === 'text' || (format === 'auto' && !to && isatty(2));
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err, err: pino.stdSerializers.err },
      redact: { paths: ['password', 'passwordHash', '*.password', '*.passwordHash'], censor: '***' },
    },
    { write: (line: string) => stream.write(escaped(text ? readable(line) : line)) },
  );
  return Object.assign(logger, { flush: () => (stream as { flushSync?: () => void }).flushSync?.() });
}

/**
 * Characters that a terminal or a log viewer would obey. pino's JSON leaves DEL, C1 controls and direction marks raw. The
 * line's own end stays.
 */
const obeyed = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const escaped = (line: string): string =>
  line.replace(obeyed, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** `2026-11-24T18:00:00.000Z info  delivered entryId=17 said="250 Ok"` */
function readable(line: string): string {
  const { time, level, msg, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const words = Object.entries(facts).map(([name, fact]) => {
    const text = typeof fact === 'string' && /^[\w.:@/<>+*-]+$/.test(fact) ? fact : JSON.stringify(fact);
    return ` ${name}=${text}`;
  });
  return `${time} ${String(level).padEnd(5)} ${JSON.stringify(msg ?? '').slice(1, -1)}${words.join('')}\n`;
}
