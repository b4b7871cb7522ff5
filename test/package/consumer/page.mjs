import { predict } from './predict.mjs';

const prompt = new URLSearchParams(location.search).get('prompt');
const status = (text) => {
  document.querySelector('output').textContent = text;
};
predict(prompt).then(
  (prediction) => status(JSON.stringify(prediction)),
  (error) => status(error.stack),
);
