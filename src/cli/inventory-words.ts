/** What a message brings along, in words: its attachments, and where its links lead. */
import { cleanLine, columns, cut } from '#app/lib/terminal';
import type { Attachment, Inventory } from '#store/model';

/** Names of an archive that are written out. */
const shownNames = 20;

export function inventoryWords(inventory: Inventory | undefined): string {
  if (!inventory) return '\nattachments and links are not listed yet\n';
  const { attachments, links, problem } = inventory;
  const parts: string[] = [];
  if (attachments.length > 0) {
    const rows = attachments.map((each) => [
      cut(cleanLine(each.name) || '(no name)', 60),
      each.type,
      sizeOf(each),
      each.sha256,
    ]);
    const lines = columns([['attachment', 'type', 'size', 'SHA-256'], ...rows]).split('\n');
    // What there is to say of one stands below it.
    parts.push(
      lines
        .flatMap((line, at) => {
          const more = at === 0 ? undefined : attachments[at - 1];
          return more ? [line, ...moreOf(more).map((words) => `  ${words}`)] : [line];
        })
        .join('\n'),
    );
  }
  if (links.length > 0) {
    const words = links.map(
      ({ domain, count, shortener }) =>
        `${cleanLine(domain)}${count > 1 ? ` (${count} times)` : ''}${shortener ? ' (shortens addresses: leads elsewhere)' : ''}`,
    );
    parts.push(`links to  ${words.join(', ')}\n`);
  }
  if (problem !== undefined) parts.push(`not all is listed: ${cleanLine(problem)}\n`);
  return parts.map((part) => `\n${part}`).join('');
}

const sizeOf = ({ size }: Attachment): string => `${size} bytes`;

function moreOf({ names = [], note }: Attachment): readonly string[] {
  const shown = names.slice(0, shownNames).map(cleanLine).join(', ');
  const left = names.length - shownNames;
  return [
    ...(names.length > 0 ? [`holds ${shown}${left > 0 ? ` and ${left} more` : ''}`] : []),
    ...(note === undefined ? [] : [cleanLine(note)]),
  ];
}
