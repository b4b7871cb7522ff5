/** Which model: the shipped one, GPT-2 from the Hub, a folder of one's own. And what it takes. */

import { isShipped } from '../../weights/hub/hub.js';
import type { App } from '../app/app.js';
import { bytesText, forget, keptModels, knownModels, quota } from '../app/models.js';
import { fill, h } from '../ui/dom.js';

/** A dialog, and the button that opens it. */
export function modelPanel(app: App): { readonly button: HTMLElement; readonly dialog: HTMLDialogElement } {
  const { store } = app;
  const button = h('button', { type: 'button', class: 'model-button', 'aria-haspopup': 'dialog' });
  const list = h('ul', { class: 'models' });
  const facts = h('dl', { class: 'facts' });
  const status = h('p', { class: 'model-status', 'aria-live': 'polite' });
  const picker = h('input', { type: 'file', webkitdirectory: true, multiple: true, hidden: true });
  const drop = h(
    'button',
    { type: 'button', class: 'drop', onclick: () => picker.click() },
    h('strong', {}, 'A model of your own'),
    h(
      'span',
      {},
      'Drop a folder with config.json, tokenizer.json and model.safetensors here, or click to choose one. It stays on this machine.',
    ),
  );
  const close = h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, 'Close');
  const release = h(
    'button',
    {
      ...{
        type: 'button',
        class: 'quiet',
        id: 'release',
        title: 'Takes the GPU’s memory back until a model is loaded again',
      },
      onclick: async () => {
        dialog.close();
        await app.client.call('release', null).catch(() => {});
        await app.client.call('status', null).catch(() => {});
      },
    },
    'Release the GPU',
  );
  const dialog = h(
    'dialog',
    { class: 'dialog', 'aria-label': 'Model' },
    h('header', {}, h('h2', {}, 'Model'), close),
    status,
    list,
    drop,
    picker,
    facts,
    h('footer', {}, release),
  );

  const choose = async (source: string | ReadonlyMap<string, Blob>, name?: string) => {
    await app.load(source, name);
    await refresh();
  };
  picker.addEventListener('change', () => {
    const files = [...(picker.files ?? [])];
    if (files.length) openFiles(files.map((file) => [file.webkitRelativePath || file.name, file]));
  });
  const openFiles = (files: readonly (readonly [string, File])[]) => {
    const folder = files[0][0].includes('/') ? files[0][0].split('/')[0] : '';
    return choose(new Map(files), `./${folder}`); // as `fromPretrained` and commands name a folder
  };
  for (const target of [drop, document.body]) {
    target.addEventListener('dragover', (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
    target.addEventListener('dragleave', () => drop.classList.remove('over'));
    target.addEventListener('drop', async (event) => {
      event.preventDefault();
      event.stopPropagation();
      drop.classList.remove('over');
      const files = await droppedFiles((event as DragEvent).dataTransfer);
      if (files.length) await openFiles(files);
    });
  }

  const refresh = async () => {
    const { model } = store.state;
    const [kept, room] = await Promise.all([keptModels(), quota()]);
    fill(
      list,
      knownModels.map(({ name, about, bytes }) => {
        const here = kept.includes(name);
        const used = model.info?.name === name;
        return h(
          'li',
          { class: used ? 'used' : '' },
          h(
            'button',
            {
              type: 'button',
              'data-model': name,
              disabled: model.status === 'loading',
              onclick: () => choose(name),
            },
            h('strong', {}, name),
            h('span', {}, about),
            h(
              'span',
              { class: 'num' },
              used
                ? 'loaded'
                : isShipped(name)
                  ? bytesText(bytes)
                  : here
                    ? `${bytesText(bytes)}, kept here`
                    : `${bytesText(bytes)} download`,
            ),
          ),
          here &&
            h(
              'button',
              {
                ...{ type: 'button', class: 'quiet', 'aria-label': `Remove ${name} from this browser` },
                onclick: async () => {
                  await forget(name);
                  await refresh();
                },
              },
              'Remove',
            ),
        );
      }),
    );
    const memory = await app.client.call('status', null).catch(() => null);
    const { info } = store.state.model;
    const rows: [string, string][] = [
      ['Adapter', info?.adapter ?? '–'],
      ['GPU memory', memory ? `${bytesText(memory.bytes)} in use, at most ${bytesText(memory.peak)}` : '–'],
      [
        'Browser storage',
        room ? `${bytesText(room.used)} of ${bytesText(room.of)}` : 'the browser does not say',
      ],
      ['Weights', info ? `${info.name}, hash ${info.hash}` : '–'],
    ];
    fill(
      facts,
      rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]),
    );
  };
  button.addEventListener('click', () => {
    dialog.showModal();
    refresh();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  store.watch(
    (s) => s.model,
    ({ status: now, name, info, progress, error }) => {
      const share = progress?.total ? progress.loaded / progress.total : 0;
      button.style.setProperty('--done', String(now === 'loading' ? share : 0));
      button.classList.toggle('loading', now === 'loading');
      fill(
        button,
        h('strong', {}, now === 'loading' ? name : (info?.name ?? name)),
        h(
          'span',
          {},
          now === 'loading'
            ? loadingText(progress)
            : info
              ? `${info.nLayers} layers · ${info.nHeads} heads · ${info.device}`
              : now,
        ),
      );
      status.textContent = now === 'loading' ? `${name}: ${loadingText(progress)}` : (error ?? '');
      status.hidden = now !== 'loading' && !error;
      if (dialog.open) refresh();
    },
  );
  return { button, dialog };
}

function loadingText(progress: { file: string; loaded: number; total: number } | null): string {
  if (!progress) return 'loading';
  const { file, loaded, total } = progress;
  return total ? `${file}: ${bytesText(loaded)} of ${bytesText(total)}` : `loading ${file}`;
}

/** The files of a drop, those of folders included, by path. */
async function droppedFiles(data: DataTransfer | null): Promise<[string, File][]> {
  const entries = [...(data?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const files: [string, File][] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((yes, no) => (entry as FileSystemFileEntry).file(yes, no));
      files.push([entry.fullPath.replace(/^\//, ''), file]);
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((yes, no) => reader.readEntries(yes, no));
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return files.length ? files : [...(data?.files ?? [])].map((file) => [file.name, file]);
}
