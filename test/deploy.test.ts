/**
 * What docs/install.md says about containers, as far as it can be seen without starting any: the files name each other, the
 * settings load, HAProxy takes its configuration, the certificate is one.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { load } from '#app/config/load';
import { environmentName, table } from '#app/config/schema';

const root = join(import.meta.dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly profiles?: readonly string[];
  readonly command?: readonly string[];
  readonly read_only?: boolean;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[] };
  readonly networks?: Readonly<Record<string, { readonly ipv4_address: string }>>;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
  readonly networks: {
    readonly default: { readonly ipam: { readonly config: readonly { readonly subnet: string }[] } };
  };
}

const { services, volumes, networks } = parse(read('docker-compose.yml'), { merge: true }) as Compose;
/** The file of settings, with paths of the container that are there here, too. */
const settings = load({
  file: join(root, 'deploy/lazaret.yaml'),
  env: { LAZARET_TLS_CERT: join(root, 'LICENSE'), LAZARET_TLS_KEY: join(root, 'LICENSE') },
});
const config = settings.config;
const nodes = Object.entries(services).filter(([, { image }]) => image === 'lazaret');

t.test('the services there are, and two nodes of each role in the profile `scale`', async (t) => {
  const names = (wanted: boolean) =>
    Object.keys(services).filter((name) => (services[name]!.profiles?.includes('scale') ?? false) === wanted);
  t.strictSame(names(false).sort(), ['cert', 'lazaret', 'mail', 'mongo', 'redis']);
  t.strictSame(names(true).sort(), ['haproxy', 'imap1', 'imap2', 'intake1', 'intake2', 'worker1', 'worker2']);
  for (const name of names(true).filter((each) => each !== 'haproxy'))
    t.strictSame(services[name]!.command, ['serve', '--roles', name.replace(/\d$/, '')]);
  for (const [name, node] of nodes) {
    t.equal(node.build, '.', `${name} is built here`);
    t.ok(node.read_only, `${name} has a root file system that is read-only`);
    t.ok(node.volumes?.includes('./deploy/lazaret.yaml:/etc/lazaret/lazaret.yaml:ro'), `${name} has the settings`);
  }
  for (const [name, { ports = [] }] of Object.entries(services))
    for (const port of ports) t.match(port, /^127\.0\.0\.1:/, `${name}: not for strangers`);
});

t.test('whatever a service names is there', async (t) => {
  for (const [name, service] of Object.entries(services)) {
    const needs = service.depends_on ?? [];
    for (const other of Array.isArray(needs) ? needs : Object.keys(needs)) t.ok(services[other], `${name}: ${other}`);
    if (!Array.isArray(needs))
      for (const [other, { condition }] of Object.entries(needs))
        if (condition === 'service_healthy') t.ok(services[other]!.healthcheck?.test, `${other} says how it is`);
    for (const volume of service.volumes ?? []) {
      const from = volume.split(':')[0]!;
      t.ok(from.startsWith('./') ? existsSync(join(root, from)) : from in volumes, `${name}: ${from}`);
    }
  }
  const dockerfile = read('Dockerfile');
  const ignored = read('.dockerignore').split('\n');
  for (const [line, from] of dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm))
    for (const path of from!.split(' ')) {
      t.ok(existsSync(join(root, path)), line);
      t.ok(ignored.includes(`!${path}`), `${path} is sent to the builder`);
    }
  t.match(dockerfile, /^USER node$/m);
});

t.test('the settings fit the services', async (t) => {
  const urlOf = (setting: string) => new URL(setting.replace(/^(mongodb|smtp):/, 'http:'));
  for (const [setting, port] of [
    [String(settings.written.store), 27017],
    [config.bus ?? '', 6379],
    [config.delivery.nextHop, 1025],
  ] as const) {
    t.ok(services[urlOf(setting).hostname], setting);
    t.equal(Number(urlOf(setting).port), port);
  }
  t.match(settings.written.store, /\?replicaSet=rs0$/);
  t.match(services.mongo?.command?.join(' '), /--replSet rs0/);
  t.match(services.mongo?.healthcheck?.test?.join('\n'), /host: 'mongo:27017'/);

  const listening = [...config.imap.listen, ...config.intake.lmtp, ...config.intake.smtp, ...config.http.listen];
  const ports = listening.map(({ port }) => port).sort();
  const published = (services.lazaret?.ports ?? []).map((line) => Number(line.split(':')[2]));
  t.strictSame(published.sort(), ports, 'what listens is published');
  t.strictSame(/^EXPOSE (.*)$/m.exec(read('Dockerfile'))?.[1]?.split(' ').map(Number).sort(), ports);
  t.match(read('Dockerfile'), `127.0.0.1:${config.http.listen[0]!.port}/healthz`);

  const address = services.haproxy?.networks?.default?.ipv4_address;
  t.strictSame(config.proxyProtocol.trusted, [`${address}/32`]);
  t.ok(config.intake.trusted.includes(networks.default.ipam.config[0]!.subnet));

  const known = new Set(table().flatMap((line) => ('group' in line ? [] : [environmentName(line.path)])));
  for (const [name] of read('deploy/lazaret.yaml').matchAll(/LAZARET_\w+/g)) t.ok(known.has(name), name);
});

t.test('HAProxy sends each port to nodes that listen there', async (t) => {
  const cfg = read('deploy/haproxy.cfg');
  const of = {
    imap: config.imap.listen.find(({ tls }) => !tls),
    imaps: config.imap.listen.find(({ tls }) => tls),
    lmtp: config.intake.lmtp[0],
    smtp: config.intake.smtp[0],
  };
  for (const [name, listener] of Object.entries(of)) {
    const section = cfg.split(/\n\n/).find((each) => each.startsWith(`listen ${name} `)) ?? '';
    const servers = [...section.matchAll(/server (\w+) (\w+):(\d+)/g)];
    t.equal(servers.length, 2, name);
    for (const [, , host = '', port] of servers) {
      t.ok(services[host], host);
      t.equal(Number(port), listener?.port, `${name} of ${host}`);
    }
  }
  t.match(cfg, new RegExp(`check port ${config.http.listen[0]!.port} .*send-proxy-v2`));
  for (const [, port] of cfg.matchAll(/bind :(\d+)/g))
    t.ok(services.haproxy?.ports?.includes(`127.0.0.1:${port}:${port}`), `${port} is published`);
});

const haproxy = spawnSync('haproxy', ['-v']).status === 0;
t.test(
  'HAProxy takes its configuration',
  haproxy || process.env.CI ? {} : { skip: 'haproxy is not installed' },
  async (t) => {
    const { status, stderr } = spawnSync('haproxy', ['-c', '-f', join(root, 'deploy/haproxy.cfg')], {
      encoding: 'utf8',
    });
    t.equal(status, 0, stderr);
    t.notMatch(stderr, /WARNING/);
  },
);

const compose = spawnSync('docker', ['compose', 'version']).status === 0;
t.test('docker compose takes the file', compose ? {} : { skip: 'docker compose is not installed' }, async (t) => {
  for (const profile of [[], ['--profile', 'scale']]) {
    const command = ['compose', '--file', join(root, 'docker-compose.yml'), ...profile, 'config', '--quiet'];
    const { status, stderr } = spawnSync('docker', command, { encoding: 'utf8' });
    t.equal(status, 0, stderr);
  }
});

t.test('the certificate is made once', async (t) => {
  const folder = join(t.testdir(), 'tls');
  const make = () =>
    execFileSync(process.execPath, [join(root, 'deploy/make-cert.mjs'), folder, 'quarantine.localhost']);
  make();
  const text = readFileSync(join(folder, 'cert.pem'), 'utf8');
  const cert = new X509Certificate(text);
  t.equal(cert.checkHost('quarantine.localhost'), 'quarantine.localhost');
  make();
  t.equal(readFileSync(join(folder, 'cert.pem'), 'utf8'), text);
});
