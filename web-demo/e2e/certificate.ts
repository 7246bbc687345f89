/** A certificate for an address, of nobody's authority. */

import { execFile } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificate {
  file: string;
  key: string;
  /** The SHA-256 of its key, in Base64, by which `launchChromium` believes it. */
  hash: string;
  remove(): Promise<void>;
}

export async function makeCertificate(address = '127.0.0.1'): Promise<Certificate> {
  const folder = await mkdtemp(join(tmpdir(), 'klieg-tls-'));
  const [file, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')] as const;
  await promisify(execFile)('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '7',
    '-subj', '/CN=live.example', '-addext', `subjectAltName=IP:${address}`, '-keyout', key, '-out', file,
  ]);
  const { publicKey } = new X509Certificate(await readFile(file));
  const hash = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
  return { file, key, hash, remove: () => rm(folder, { recursive: true, force: true }) };
}
