// The words of the page. Every key stands in both languages; `say` fills in {names}.

const WORDS = {
  ru: {
    skip: "К содержанию", book: "Забронировать", mine: "Мои бронирования", history: "История", logOut: "Выйти",
    welcome: "Войдите или зарегистрируйтесь", login: "Логин", password: "Пароль", logIn: "Войти",
    register: "Зарегистрироваться", passwordRule: "Пароль — от 8 до 128 знаков. Подтверждать почту не нужно.",
    chooseSeat: "Выберите место и время", space: "Коворкинг", date: "Дата", slots: "Слотов подряд",
    zone: "Время местное: {zone} (UTC{offset}). Слот — {minutes} мин.", seat: "Место", free: "свободно", taken: "занято",
    yours: "ваше", pastSlot: "прошло", closed: "закрыто", bookIt: "Забронировать", alternatives: "Свободно рядом",
    chosen: "{seat}, {date}, {from}–{to} ({zone})", booked: "Забронировано: {what}.", cancelled: "Бронь отменена: {what}.",
    cancel: "Отменить", confirmed: "подтверждена", cancelledStatus: "отменена", completed: "завершена", released: "снята: не пришли", more: "Показать ещё",
    nothingYet: "Здесь пока ничего нет.", noSlots: "В этот день слотов нет.", registered: "Вы зарегистрированы как {login}.",
    away: "Узел {node} не отвечает, пробуем другие…", allAway: "Кластер сейчас не отвечает. Повторите через несколько секунд.",
    unknown: "Неизвестно, удалось ли. Обновите список бронирований, прежде чем повторять.",
    node: "узел {node}", working: "Минуту…", signedOut: "Сеанс окончен, войдите снова.", other: "English",
    bell: "Уведомления, новых: {count}", bellTitle: "Уведомления", bellEmpty: "Пока ничего не произошло.",
    "told-booking.confirmed": "Забронировано", "told-booking.moved": "Перенесено", "told-booking.cancelled": "Отменено", "told-booking.checked-in": "Вы отметились",
    "told-booking.released": "Снято: никто не отметился", "told-booking.affected": "Изменения в коворкинге задели бронь", "told-booking.reminder": "Скоро начнётся",
    "told-waitlist.joined": "Вы в очереди", "told-waitlist.promoted": "Место из очереди ваше", "told-waitlist.left": "Вы вышли из очереди", "told-waitlist.expired": "Ожидание закончилось",
    messages: "Сообщения", mailAddress: "Почта", mailLanguage: "Язык писем", mailRemind: "Напомнить за, минут (0 — нет)", mailKinds: "О чём писать",
    mailSave: "Сохранить", mailCode: "Код из письма", mailConfirm: "Подтвердить", mailSaved: "Сохранено.", mailConfirmed: "Адрес подтверждён.",
    mailNone: "Этот кластер писем не отправляет.", mailOff: "Писем о ваших бронях вы не получаете.", mailOn: "Письма приходят на {address}.",
    mailWaits: "На {address} отправлен код. Пока вы его не введёте, писем не будет.", mailHint: "Сохраните без адреса — и он будет забыт.",
    "mail-confirmed": "забронировано", "mail-moved": "перенесено", "mail-cancelled": "отменено", "mail-released": "снято: никто не отметился",
    "mail-affected": "изменения в коворкинге задели бронь", "mail-promoted": "досталось место, которого я жду",
    problems: {
      "login-taken": "Этот логин занят.", "invalid-login": "Такой логин нельзя: 3–64 знака, буквы одного алфавита, цифры и . _ @ + -",
      "weak-password": "Пароль слишком простой.", "wrong-credentials": "Неверный логин или пароль.",
      "too-many-attempts": "Слишком много попыток. Подождите минуту.", "seat-taken": "Это место уже заняли.",
      past: "Это время уже началось.", closed: "В это время закрыто.", "off-grid": "Столько слотов подряд здесь не помещается.",
      "booking-completed": "Бронь уже завершилась.", "booking-not-found": "Такой брони нет.", overloaded: "Слишком много запросов, повторите.",
      "out-of-service": "Это место сейчас не работает.", "beyond-horizon": "Так далеко вперёд бронировать нельзя.",
      "too-long": "Такая долгая бронь здесь не разрешена.", "too-many-live": "У вас уже столько броней, сколько здесь разрешено.",
      "too-many-that-day": "На этот день у вас уже столько броней, сколько разрешено.",
      "seated-elsewhere": "В это время у вас здесь уже есть другое место.", "too-late-to-cancel": "Отменять уже поздно.",
      "wrong-code": "Это не тот код.", "too-many-addresses": "На сегодня кодов отправлено достаточно. Попробуйте завтра.", "address-changed": "Адрес с тех пор изменился.",
    },
  },
  en: {
    skip: "Skip to content", book: "Book", mine: "My bookings", history: "History", logOut: "Log out",
    welcome: "Log in or register", login: "Login", password: "Password", logIn: "Log in",
    register: "Register", passwordRule: "A password has 8 to 128 characters. No e-mail confirmation is needed.",
    chooseSeat: "Choose a seat and a time", space: "Coworking", date: "Date", slots: "Slots in a row",
    zone: "Times are local: {zone} (UTC{offset}). A slot is {minutes} min.", seat: "Seat", free: "free", taken: "taken",
    yours: "yours", pastSlot: "past", closed: "closed", bookIt: "Book", alternatives: "Free nearby",
    chosen: "{seat}, {date}, {from}–{to} ({zone})", booked: "Booked: {what}.", cancelled: "Cancelled: {what}.",
    cancel: "Cancel", confirmed: "confirmed", cancelledStatus: "cancelled", completed: "completed", released: "released: nobody came", more: "Show more",
    nothingYet: "Nothing here yet.", noSlots: "There are no slots on that day.", registered: "You are registered as {login}.",
    away: "Node {node} is away, trying the others…", allAway: "The cluster does not answer now. Try again in a few seconds.",
    unknown: "It is not known whether this happened. Look at your bookings before you repeat it.",
    node: "node {node}", working: "One moment…", signedOut: "The session has ended, log in again.", other: "Русский",
    bell: "Notifications, new: {count}", bellTitle: "Notifications", bellEmpty: "Nothing has happened yet.",
    "told-booking.confirmed": "Booked", "told-booking.moved": "Moved", "told-booking.cancelled": "Cancelled", "told-booking.checked-in": "You have checked in",
    "told-booking.released": "Released: nobody checked in", "told-booking.affected": "A change in the coworking touches a booking", "told-booking.reminder": "Begins soon",
    "told-waitlist.joined": "You stand in line", "told-waitlist.promoted": "The place that you wait for is yours", "told-waitlist.left": "You have left the line", "told-waitlist.expired": "Waiting is over",
    messages: "Messages", mailAddress: "Mail address", mailLanguage: "Language of the mails", mailRemind: "Remind me, minutes before (0: not)", mailKinds: "Tell me of",
    mailSave: "Save", mailCode: "Code from the mail", mailConfirm: "Confirm", mailSaved: "Saved.", mailConfirmed: "The address is confirmed.",
    mailNone: "This cluster sends no mails.", mailOff: "You are told nothing of your bookings by mail.", mailOn: "Mails go to {address}.",
    mailWaits: "A code was mailed to {address}. Nothing else is sent there before you enter it.", mailHint: "Save without an address, and it is forgotten.",
    "mail-confirmed": "booked", "mail-moved": "moved", "mail-cancelled": "cancelled", "mail-released": "released: nobody checked in",
    "mail-affected": "a change in the coworking touches a booking", "mail-promoted": "a place that I wait for is mine",
    problems: {
      "login-taken": "This login is taken.", "invalid-login": "This login cannot be used: 3 to 64 letters of one script, digits and . _ @ + -",
      "weak-password": "This password is too weak.", "wrong-credentials": "Wrong login or password.",
      "too-many-attempts": "Too many attempts. Wait a minute.", "seat-taken": "This seat has just been taken.",
      past: "That time has begun already.", closed: "It is closed then.", "off-grid": "That many slots in a row do not fit here.",
      "booking-completed": "The booking is over already.", "booking-not-found": "There is no such booking.", overloaded: "Too much at once, try again.",
      "out-of-service": "This seat is out of service then.", "beyond-horizon": "That is too far ahead.",
      "too-long": "That is longer than this space allows.", "too-many-live": "You have as many bookings as this space allows.",
      "too-many-that-day": "You have as many bookings that day as this space allows.",
      "seated-elsewhere": "You have another seat here at that time.", "too-late-to-cancel": "It is too late to cancel.",
      "wrong-code": "This is not the code.", "too-many-addresses": "Enough codes were mailed for today. Try again tomorrow.", "address-changed": "The address has changed since.",
    },
  },
};

export let language = localStorage.getItem("language") || (navigator.language.startsWith("ru") ? "ru" : "en");

export function switchLanguage() {
  language = language === "ru" ? "en" : "ru";
  localStorage.setItem("language", language);
}

export function say(key, values = {}) {
  return (WORDS[language][key] ?? "").replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** What a problem is called; its own detail where the page has no words for it. */
export function sayProblem(problem) {
  const code = (problem.type || "").split(":").pop();
  return WORDS[language].problems[code] || problem.detail || problem.title || say("allAway");
}
