/**
 * Writes `* SEARCH …` (RFC 3501 §7.2.5; with the mod-sequence of RFC 7162 §3.1.5) or `* ESEARCH …` (RFC 4731 §3.1). Nothing is
 * written before the search is over.
 */
import type { Mailbox } from '../backend.ts';
import { Columns } from '../fetch/columns.ts';
import { Lines } from '../fetch/lines.ts';
import { quote } from '../mime/quote.ts';
import type { Output } from '../wire/output.ts';
import { format } from '../wire/sequence-set.ts';
import { evaluate } from './evaluate.ts';
import type { ReturnOption, SearchPlan } from './parse.ts';

export interface SearchRun {
  readonly plan: SearchPlan;
  readonly mailbox: Mailbox;
  /** `uids[i]` is message number i + 1, for i below `count`. */
  readonly uids: Uint32Array;
  readonly count: number;
  readonly tag: string;
  readonly uidCommand: boolean;
  readonly condstore: boolean;
  readonly out: Output;
}

/** @throws No  the store failed; nothing was written */
export async function runSearch(run: SearchRun): Promise<void> {
  const { plan, mailbox, uids, count, uidCommand } = run;
  const indexes = await evaluate(plan.key, mailbox, uids, count);
  const found = indexes.map((index) => (uidCommand ? uids[index]! : index + 1));
  const lines = new Lines(run.out);
  if (plan.returns) extended(lines, run, plan.returns, indexes, found);
  else await plain(lines, run, indexes, found);
  lines.flush();
}

async function plain(lines: Lines, run: SearchRun, indexes: Uint32Array, found: Uint32Array): Promise<void> {
  lines.text('* SEARCH');
  const blank = Buffer.from(' ');
  for (const number of found) {
    lines.bytes(blank);
    lines.number(number);
    const full = lines.settle();
    if (full) await full;
  }
  if (run.plan.enablesCondstore && found.length > 0) lines.text(` (MODSEQ ${highest(run, indexes)})`);
  lines.text('\r\n');
}

function extended(
  lines: Lines,
  run: SearchRun,
  returns: ReadonlySet<ReturnOption>,
  indexes: Uint32Array,
  found: Uint32Array,
): void {
  lines.text(`* ESEARCH (TAG ${quote(run.tag)})${run.uidCommand ? ' UID' : ''}`);
  const last = found.length - 1;
  if (last >= 0) {
    if (returns.has('MIN')) lines.text(` MIN ${found[0]}`);
    if (returns.has('MAX')) lines.text(` MAX ${found[last]}`);
    if (returns.has('ALL')) lines.text(` ALL ${format(found)}`);
  }
  if (returns.has('COUNT')) lines.text(` COUNT ${found.length}`);
  if (run.plan.enablesCondstore && last >= 0) lines.text(` MODSEQ ${highest(run, named(returns, indexes))}`);
  lines.text('\r\n');
}

/** RFC 4731 §3.2: with MIN and MAX alone, the mod-sequence is about the messages they name. */
function named(returns: ReadonlySet<ReturnOption>, indexes: Uint32Array): Uint32Array {
  if (returns.has('ALL') || returns.has('COUNT')) return indexes;
  const ends: number[] = [];
  if (returns.has('MIN')) ends.push(indexes[0]!);
  if (returns.has('MAX')) ends.push(indexes[indexes.length - 1]!);
  return Uint32Array.from(ends);
}

function highest({ mailbox, uids }: SearchRun, indexes: Uint32Array): number {
  const columns = new Columns(mailbox.view);
  let modSeq = 1;
  for (const index of indexes) {
    const at = columns.find(uids[index]!);
    if (at >= 0) modSeq = Math.max(modSeq, mailbox.view.modSeqs[at]!);
  }
  return modSeq;
}
