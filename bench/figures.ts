/** What was measured, side by side: medians, the ratio of the two, and how each figure grew with the folder. */

export interface Figure {
  readonly what: string;
  readonly entries: number;
  readonly unit: string;
  readonly value: number;
  /** Octets of the answer: both servers should have said about the same. */
  readonly octets?: number;
}

interface Line {
  readonly what: string;
  readonly entries: number;
  readonly unit: string;
  readonly lazaret?: number;
  readonly dovecot?: number;
  /** Ours to theirs: of a time or of memory smaller is better, of a rate larger. */
  readonly ratio?: number;
  /** Ours at this size to ours at the size before; linear is the ratio of the sizes. */
  readonly growth?: number;
  readonly lazaretOctets?: number;
  readonly dovecotOctets?: number;
}

export class Figures {
  readonly #of = new Map<string, Map<string, Figure>>();

  add(peer: string, figure: Figure): void {
    const { what, entries, unit, value, octets } = figure;
    const key = `${what} @${entries}`;
    const row = this.#of.get(key) ?? new Map<string, Figure>();
    row.set(peer, figure);
    this.#of.set(key, row);
    const size = octets === undefined ? '' : `, ${octets} octets`;
    process.stderr.write(`  ${peer}: ${key}: ${value.toFixed(2)} ${unit}${size}\n`);
  }

  lines(): Line[] {
    const before = new Map<string, number>();
    return [...this.#of.values()].map((row) => {
      const ours = row.get('lazaret');
      const theirs = row.get('dovecot');
      const { what, entries, unit } = (ours ?? theirs)!;
      const smaller = before.get(what);
      if (ours) before.set(what, ours.value);
      return {
        what,
        entries,
        unit,
        ...(ours ? { lazaret: ours.value } : {}),
        ...(theirs ? { dovecot: theirs.value } : {}),
        ...(ours && theirs ? { ratio: ours.value / theirs.value } : {}),
        ...(ours && smaller !== undefined ? { growth: ours.value / smaller } : {}),
        ...(ours?.octets === undefined ? {} : { lazaretOctets: ours.octets }),
        ...(theirs?.octets === undefined ? {} : { dovecotOctets: theirs.octets }),
      };
    });
  }

  /** Answers that differ by more than a tenth are not the same answer. A status line may be longer than ours. */
  doubts(): string[] {
    return this.lines().flatMap(({ what, entries, lazaretOctets: ours, dovecotOctets: theirs }) =>
      ours !== undefined && theirs !== undefined && Math.abs(ours - theirs) > 100 + theirs / 10
        ? [`${what} @${entries}: ${ours} octets of Lazaret, ${theirs} of Dovecot`]
        : [],
    );
  }

  table(): string {
    const head = ['', 'entries', 'Lazaret', 'Dovecot', '', 'ratio', 'growth'];
    const show = (value: number | undefined) =>
      value === undefined ? '' : value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
    const rows = this.lines().map((line) => [
      line.what,
      String(line.entries),
      show(line.lazaret),
      show(line.dovecot),
      line.unit,
      line.ratio === undefined ? '' : `${show(line.ratio)}x`,
      line.growth === undefined ? '' : `${show(line.growth)}x`,
    ]);
    const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
    const text = (row: readonly string[]) =>
      row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  ');
    return [head, ...rows].map(text).join('\n');
  }
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
