/** A recipe's name as one folder: a name cannot choose where files go. */
export const folderName = (name: string): string =>
  name
    .normalize('NFC')
    .replace(/[^\p{L}\p{N}._+-]+/gu, '-')
    .replace(/^[.-]+/, '')
    .slice(0, 100) || 'run';
