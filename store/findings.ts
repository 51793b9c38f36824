/** What `check` found, in one plain sentence each: what is wrong, with whom, and what became or can become of it. */
import type { Finding, Flaw } from './records.ts';

export function sentenceOf(finding: Finding): string {
  const { mended } = finding;
  switch (finding.kind) {
    case 'orphan-message':
      return `Message ${finding.messageId} (${finding.size} octets) belongs to no entry and no job${mended ? '; it was removed' : ''}.`;
    case 'entry-without-message':
      return `Entry ${finding.entryId}: what was known of its message ${finding.messageId} is gone${mended ? '; it is expired now' : ''}.`;
    case 'entry-without-bytes':
      return `Entry ${finding.entryId}: the octets of its message ${finding.messageId} are gone${mended ? '; it is expired now' : ''}.`;
    case 'job-without-entry':
      return `Job ${finding.key} is about mail that is gone${mended ? '; it was cancelled' : ''}.`;
    case 'job-without-drop': {
      const entry = finding.entryId === undefined ? '' : `Entry ${finding.entryId}: `;
      const then = finding.entryId === undefined ? '' : ', and the entry is held again if it was dropped';
      return `${entry}nobody can say who wanted job ${finding.key}, its drop is gone${mended ? `; the job was removed${then}` : ''}.`;
    }
    case 'counter-behind':
      return `The counter "${finding.name}" is ${finding.is}, and ${finding.needed} was given${mended ? '; it was raised' : ''}.`;
    case 'damaged':
      return damaged(finding, mended);
    case 'database':
      return `The database says: ${finding.says}.`;
  }
}

function damaged(flaw: Extract<Flaw, { kind: 'damaged' }>, mended: boolean): string {
  const entries = `${flaw.entryIds.length === 1 ? 'Entry' : 'Entries'} ${flaw.entryIds.join(', ')}: message`;
  const whose = `${flaw.entryIds.length === 0 ? 'Message' : entries} ${flaw.messageId}`;
  if (flaw.what === 'hash')
    return `${whose} has another hash than was noted, though its size and its body are right${mended ? '; the note was corrected' : ''}.`;
  const what = flaw.what === 'size' ? 'as many octets as' : 'the octets';
  return `${whose} does not have ${what} it arrived with; it stays as it is, a backup may have it whole.`;
}
