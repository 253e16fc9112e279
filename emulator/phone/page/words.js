// Every word on the page, in both languages; and the choice between them.

const en = {
  title: "Emulated phone",
  hint: "It plays the owner's phone. Everything here is made up: no internet, no real WhatsApp.",
  push: "Link a new device?", pushHint: "Tap to enter the code",
  devices: "Linked devices", number: "This phone's number", noDevices: "No devices are linked yet.",
  link: "Link a device", logOut: "Log out", online: "online", offline: "not connected", device: "Device",
  scan: "Scan the QR code", back: "Back",
  finder: "Drop a picture of the QR here, or paste a screenshot",
  capture: "Scan my screen", picture: "Choose a picture", qrText: "or the text of the QR", go: "Scan",
  instead: "Link with phone number instead", looking: "Looking for a QR …", noQr: "No QR found in that window.",
  enterCode: "Enter the code", codeHint: "The 8 characters that the service shows.",
  typeWrong: "Type a wrong code", erase: "Erase", done: "Done", waiting: "One moment …",
  behaviour: "How this phone behaves", behaviourHint: "It stays so until you change it.",
  log: "What the emulator saw", cut: "Cut its connections", none: "Nothing yet.",
  numberWrong: "5 to 15 digits, with the country code.",
};

const ru = {
  title: "Эмулятор телефона",
  hint: "Играет роль телефона владельца. Всё понарошку: без интернета и без настоящего WhatsApp.",
  push: "Связать новое устройство?", pushHint: "Нажмите, чтобы ввести код",
  devices: "Связанные устройства", number: "Номер этого телефона", noDevices: "Связанных устройств пока нет.",
  link: "Привязать устройство", logOut: "Выйти", online: "в сети", offline: "не подключено", device: "Устройство",
  scan: "Отсканируйте QR-код", back: "Назад",
  finder: "Перетащите сюда картинку с QR или вставьте снимок экрана",
  capture: "Сканировать мой экран", picture: "Выбрать картинку", qrText: "или текст QR", go: "Сканировать",
  instead: "Связать по номеру телефона", looking: "Ищу QR …", noQr: "В этом окне QR не найден.",
  enterCode: "Введите код", codeHint: "8 символов, которые показывает сервис.",
  typeWrong: "Ввести неверный код", erase: "Стереть", done: "Готово", waiting: "Секунду …",
  behaviour: "Как ведёт себя телефон", behaviourHint: "Действует, пока не измените.",
  log: "Что видел эмулятор", cut: "Оборвать соединения", none: "Пока ничего.",
  numberWrong: "От 5 до 15 цифр, с кодом страны.",
};

// Outcome of a scan or a code: [good, English, Russian, English hint, Russian hint]
export const outcomes = {
  "confirmed": [true, "Confirmed", "Подтверждено", "The device is being linked.", "Устройство связывается."],
  "not-a-code": [false, "Not a WhatsApp code", "Это не код WhatsApp", "", ""],
  "expired": [false, "This code has expired", "Код устарел", "Get a fresh one.", "Нужен новый."],
  "already-used": [false, "This code was used already", "Код уже использован", "", ""],
  "could-not-link": [false, "Couldn't link device", "Не удалось связать", "Check your connection and try again.", "Проверьте связь и попробуйте ещё раз."],
  "wrong-code": [false, "Wrong code", "Неверный код", "Check it and try again.", "Проверьте и попробуйте ещё раз."],
  "no-code-asked": [false, "Nobody asked for a code", "Кода никто не запрашивал", "Is the number the same?", "Тот ли это номер?"],
  "no-answer": [false, "No answer", "Нет ответа", "The device did not reply.", "Устройство не ответило."],
  "offline": [false, "No connection", "Нет соединения", "This phone is offline.", "Телефон не в сети."],
  "refused": [false, "Cancelled", "Отменено", "The owner said no.", "Владелец отказался."],
  "device-limit": [false, "Too many devices", "Слишком много устройств", "Log one out first.", "Сначала отвяжите одно."],
  "update-whatsapp": [false, "Update WhatsApp", "Обновите WhatsApp", "This version can't link.", "Эта версия не умеет связывать."],
  "passkey-wanted": [false, "Passkey needed", "Нужен ключ доступа", "Only web.whatsapp.com can give it.", "Его может дать только web.whatsapp.com."],
};

// The switches: fault, parameters, English, Russian
export const behaviours = [
  [null, {}, "Agrees at once", "Сразу соглашается"],
  ["phone-dawdles", { delay: 5 }, "Dawdles for 5 seconds", "Медлит 5 секунд"],
  ["phone-refuses", {}, "Refuses", "Отказывается"],
  ["phone-offline", {}, "Has no network", "Нет сети"],
  ["phone-passkey", {}, "Asks for a passkey", "Просит ключ доступа"],
  ["phone-device-limit", {}, "Has too many devices", "Лимит устройств исчерпан"],
  ["phone-without-multidevice", {}, "Is too old to link", "Слишком старый WhatsApp"],
  ["code-refused", { status: 429 }, "Codes are throttled (429)", "Коды временно не дают (429)"],
  ["dwell-drop", { delay: 10 }, "Logs the device out 10 s after it connects", "Отвяжет через 10 с после входа"],
];

const events = {
  "client.registered": ["A client that is not linked connected", "Подключился непривязанный клиент"],
  "qr.offered": ["QR offered", "Выдан QR"],
  "qr.scanned": ["QR scanned", "QR отсканирован"],
  "code.requested": ["Code requested", "Запрошен код"],
  "code.refused": ["Code refused", "В коде отказано"],
  "code.typed": ["Code typed", "Код введён"],
  "pairing.confirmed": ["The phone agreed", "Телефон согласился"],
  "pairing.failed": ["The client refused", "Клиент отказался"],
  "device.linked": ["Device linked", "Устройство связано"],
  "device.logged-in": ["Device logged in", "Устройство вошло"],
  "device.connected": ["Device connected", "Устройство на связи"],
  "device.unlinked": ["Device unlinked", "Устройство отвязано"],
  "message.received": ["Message", "Сообщение"],
  "connection.closed": ["Connection closed", "Соединение закрыто"],
  "client.violation": ["Broke a rule", "Нарушил правило"],
  "fault.fired": ["As armed", "Как заказано"],
  "emulator.failed": ["A bug of the emulator", "Ошибка эмулятора"],
};

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("ru") ? "ru" : "en");

export const t = (key) => (language === "ru" ? ru : en)[key] ?? key;
export const pick = (english, russian) => (language === "ru" ? russian : english);
export const eventName = (kind) => (kind in events ? pick(...events[kind]) : null);
export const currentLanguage = () => language;

export function setLanguage(wanted) {
  language = wanted;
  localStorage.setItem("language", wanted);
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === wanted));
  }
  document.documentElement.lang = wanted;
  document.title = t("title");
}
