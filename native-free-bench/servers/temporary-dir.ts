/** Directories for a server's data that do not outlive the bench, however it ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const dirs = new Set<string>();
process.on('exit', () => {
  for (const dir of dirs) removeDir(dir);
});

export function temporaryDir(purpose: string): string {
  const dir = mkdtempSync(join(tmpdir(), `headrace-bench-${purpose}-`));
  dirs.add(dir);
  return dir;
}

export function removeDir(dir: string): void {
  dirs.delete(dir);
  rmSync(dir, { recursive: true, force: true });
}
