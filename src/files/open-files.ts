/**
 * Which of some files a process has open for writing, as far as this machine tells us: on Linux, of processes of the same
 * user (for root: of all). Nothing found says nothing; it only makes waiting for a file to come to rest safer.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';

export async function openForWriting(paths: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const open = new Set<string>();
  const processes = await readdir('/proc').catch((): string[] => []);
  for (const pid of processes) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of await readdir(`/proc/${pid}/fd`).catch((): string[] => [])) {
      const path = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      if (!paths.has(path) || open.has(path)) continue;
      const about = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '');
      const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(about)?.[1] ?? '0', 8);
      const isForWriting = (flags & 3) !== 0; // O_WRONLY, O_RDWR
      // Between the two looks the number may have come to mean another file.
      if (isForWriting && (await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) === path) open.add(path);
    }
  }
  return open;
}
