/**
 * Makes docs/screenshots/*.png: the real Thunderbird on the demo, as ada. Needs Debian's thunderbird, xvfb,
 * imagemagick and fonts-wqy-microhei.
 *
 *   node --conditions=lazaret-source --import=./tools/ts.mjs tools/screenshots.mjs
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { startDemo } from '#app/demo/run';
import { silent } from '#app/observe/log';
import { Thunderbird } from '../test/clients/thunderbird/driver.mjs';

const folder = join(import.meta.dirname, '../docs/screenshots');
const data = mkdtempSync(join(tmpdir(), 'lazaret-screenshots-'));
mkdirSync(folder, { recursive: true });

/** Runs inside Thunderbird: selects the messages with these beginnings of subjects. */
const selectRows = `
  const pane = Services.wm.getMostRecentWindow('mail:3pane').document.getElementById('tabmail').currentAbout3Pane;
  const rows = Array.from({ length: pane.gDBView.rowCount }, (_, row) => row);
  pane.threadTree.selectedIndices = rows.filter((row) =>
    arguments[0].some((subject) => pane.gDBView.getMsgHdrAt(row).mime2DecodedSubject.startsWith(subject)),
  );`;

const demo = await startDemo({ data, version: '', log: silent, print() {}, everyMs: 3_600_000 });
const ada = demo.logins.find(({ name }) => name.startsWith('ada@'));
const thunderbird = await Thunderbird.start({
  port: demo.ports.imaps,
  security: 'ssl',
  user: ada.name,
  password: ada.password,
  display: 'xvfb',
  screen: '1280x900x24',
  prefs: {
    'mail.server.server1.name': 'Quarantine',
    'mail.pane_config.dynamic': 0, // the message below the list
    'mail.threadpane.listview': 1, // a table, one line each
    'mailnews.default_sort_order': 1, // oldest first
    'mailnews.default_view_flags': 0, // no threads
  },
});
try {
  await thunderbird.connect();
  await thunderbird.open('Caught');
  await thunderbird.show('Caught');
  await thunderbird.display('Caught', { subject: 'Invoice for March' });
  await shot('message');
  await thunderbird.run(selectRows, ['Invoice for March', 'Survey of the Petrel', 'Minutes of the October']);
  await setTimeout(1000); // the summary of what is selected is drawn bit by bit, without an event
  await shot('thunderbird');
} finally {
  await thunderbird.stop();
  await demo.stop();
  rmSync(data, { recursive: true, force: true });
}

/** Fewer colours: a third of the size, and no difference to the eye. */
async function shot(name) {
  const file = join(folder, `${name}.png`);
  await thunderbird.screenshot(file);
  execFileSync('convert', [file, '-strip', '+dither', '-colors', '128', `PNG8:${file}`]);
}
