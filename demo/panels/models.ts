/** Which model: the shipped one, GPT-2 from the Hub, a folder of one's own. And what it takes. */

import { hubRepo, isShipped } from '../../weights/hub/hub.js';
import type { App } from '../app/app.js';
import { contentsOf, DTYPES, type DtypeName, FORMATS } from '../app/formats.js';
import { bytesText, forget, hubName, keptRepos, knownModels, lookUp, quota } from '../app/models.js';
import { fill, h } from '../ui/dom.js';

/** Opens the folder picker of the dialog. */
export let chooseFolder = (): void => {};

/** A dialog, and the button that opens it. */
export function modelPanel(app: App): { readonly button: HTMLElement; readonly dialog: HTMLDialogElement } {
  const { store } = app;
  const button = h('button', { type: 'button', class: 'model-button', 'aria-haspopup': 'dialog' });
  const list = h('ul', { class: 'models' });
  const facts = h('dl', { class: 'facts' });
  const kept = h('ul', { class: 'models' });
  let dtype: DtypeName = 'f32';
  const keptTitle = (some: boolean) => dialog.classList.toggle('keeps', some);
  const status = h('p', { class: 'model-status', 'aria-live': 'polite' });
  const picker = h('input', { type: 'file', webkitdirectory: true, multiple: true, hidden: true });
  chooseFolder = () => picker.click();
  const drop = h(
    'button',
    { type: 'button', class: 'drop', onclick: () => picker.click() },
    h('strong', {}, 'A model of your own'),
    h(
      'span',
      {},
      `Drop a folder with config.json, tokenizer.json and weights (${FORMATS.map((f) => f.name).join(', ')}) here, or click to choose one. It stays on this machine.`,
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
        title: 'Gives all of it back, until a model is loaded again',
      },
      onclick: async () => {
        dialog.close();
        await app.client.call('release', null).catch(() => {});
        await app.client.call('status', null).catch(() => {});
      },
    },
    'Free the GPU’s memory',
  );
  const dialog = h(
    'dialog',
    { class: 'dialog', 'aria-label': 'Model' },
    h('header', {}, h('h2', {}, 'Model'), close),
    status,
    dtypes(),
    list,
    h('h3', {}, 'From the Hugging Face Hub'),
    hub(),
    drop,
    picker,
    h('h3', { class: 'kept-title' }, 'Kept in this browser'),
    kept,
    facts,
    h('footer', {}, release),
  );

  /** The number format of what is loaded next. */
  function dtypes(): HTMLElement {
    const select = h(
      'select',
      { id: 'dtype', onchange: () => void (dtype = select.value as DtypeName) },
      DTYPES.map(({ name, about }) => h('option', { value: name }, `${name}: ${about}`)),
    );
    store.watch(
      (s) => s.model.dtype,
      (now) => {
        dtype = now;
        select.value = now;
      },
    );
    return h('label', { class: 'inline', for: 'dtype' }, 'Weights on the GPU', select);
  }

  /** Any repository: its sizes are looked up before anything is downloaded. */
  function hub(): HTMLElement {
    const repo = h('input', {
      type: 'text',
      id: 'hub-repo',
      placeholder: 'owner/name',
      autocomplete: 'off',
      spellcheck: 'false',
    });
    const revision = h('input', {
      type: 'text',
      id: 'hub-revision',
      placeholder: 'main',
      autocomplete: 'off',
      spellcheck: 'false',
    });
    const told = h('p', { class: 'hub-told', role: 'status' });
    let asked: AbortController | null = null;
    const look = async () => {
      asked?.abort();
      asked = new AbortController();
      const { signal } = asked;
      const name = hubRepo(repo.value.trim())?.repo;
      if (name === undefined) {
        fill(told, `“${repo.value}” is no name of a repository: owner/name, as roneneldan/TinyStories-1M.`);
        return;
      }
      const at = revision.value.trim() || 'main';
      fill(told, `Asking the Hub for ${name} …`);
      try {
        const [found, room] = [await lookUp(name, at, signal), await quota()];
        if (signal.aborted) return;
        const { format, bytes, missing } = found;
        if (!format) return fill(told, `${name} cannot be loaded: it has no ${missing.join(', no ')}.`);
        const left = room ? room.of - room.used : null;
        const size = bytes === null ? 'of a size that the Hub does not say' : bytesText(bytes);
        const fits =
          bytes !== null && left !== null && bytes > left
            ? ` The browser would keep ${bytesText(left)} at most, so it would be read anew each time.`
            : '';
        const lacks = missing.length ? ` It has no ${missing.join(', no ')}.` : '';
        fill(
          told,
          `${name}, ${at}: ${format.name}, a download of ${size}. As many bytes on the GPU where they are f32 there and here.${lacks}${fits} `,
          h(
            'button',
            { type: 'button', class: 'quiet', id: 'hub-load', onclick: () => choose(hubName(name, at)) },
            bytes === null ? 'Download it' : `Download ${bytesText(bytes)}`,
          ),
        );
      } catch (e) {
        if (!signal.aborted) fill(told, (e as Error).message);
      }
    };
    return h(
      'form',
      {
        class: 'hub',
        onsubmit: (event: Event) => {
          event.preventDefault();
          look();
        },
      },
      h('label', { class: 'inline', for: 'hub-repo' }, 'Repository', repo),
      h('label', { class: 'inline', for: 'hub-revision' }, 'Revision', revision),
      h('button', { type: 'submit', class: 'quiet', id: 'hub-look' }, 'Look it up'),
      told,
    );
  }

  const choose = async (source: string | ReadonlyMap<string, Blob>, name?: string) => {
    await app.load(source, name, dtype);
    await refresh();
  };
  picker.addEventListener('change', () => {
    const files = [...(picker.files ?? [])];
    if (files.length) openFiles(files.map((file) => [file.webkitRelativePath || file.name, file]));
  });
  const openFiles = (files: readonly (readonly [string, File])[]) => {
    const folder = files[0][0].includes('/') ? files[0][0].split('/')[0] : '';
    const { format, missing } = contentsOf(new Map(files.map(([path, file]) => [path, file.size])));
    if (!format || missing.some((m) => m.startsWith('config.json'))) {
      status.hidden = false;
      status.textContent = `There is no model in ${folder || 'what was chosen'}: it has no ${missing.join(', no ')}. The model that was loaded is still here.`;
      return Promise.resolve();
    }
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
    const [repos, room] = await Promise.all([keptRepos(), quota()]);
    fill(
      list,
      knownModels.map(({ name, about, bytes }) => {
        const here = repos.some((r) => r.repo === hubRepo(name)?.repo);
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
    const others = repos.filter(({ repo }) => !knownModels.some((m) => hubRepo(m.name)?.repo === repo));
    keptTitle(others.length > 0);
    fill(
      kept,
      others.map(({ repo, bytes }) =>
        h(
          'li',
          {},
          h(
            'button',
            {
              type: 'button',
              'data-model': repo,
              disabled: model.status === 'loading',
              onclick: () => choose(repo),
            },
            h('strong', {}, repo),
            h('span', {}, ''),
            h('span', { class: 'num' }, bytesText(bytes)),
          ),
          h(
            'button',
            {
              ...{ type: 'button', class: 'quiet', 'aria-label': `Remove ${repo} from this browser` },
              onclick: async () => {
                await forget(repo);
                await refresh();
              },
            },
            'Remove',
          ),
        ),
      ),
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
        h('strong', {}, name),
        h(
          'span',
          {},
          now === 'loading'
            ? loadingText(progress)
            : info
              ? `${info.nLayers} layers · ${info.nHeads} heads · ${dtype === 'f32' ? '' : `${dtype} · `}${info.device}`
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
