import { addWords } from "../lib/words.js";

addWords({
  ru: {
    "book.title": "Забронировать", "book.space": "Коворкинг", "book.date": "Дата", "book.slots": "Слотов подряд", "book.zone": "Время местное: {zone}. Слот — {minutes} мин.",
    "book.seat": "Место", "book.free": "свободно", "book.taken": "занято", "book.mine": "ваше", "book.past": "прошло", "book.closed": "закрыто",
    "book.confirm": "Забронировать", "book.alternatives": "Свободно рядом", "book.booked": "Забронировано: {what}.", "book.noSlots": "В этот день слотов нет.",
  },
  en: {
    "book.title": "Book", "book.space": "Coworking", "book.date": "Date", "book.slots": "Slots in a row", "book.zone": "Times are local: {zone}. A slot is {minutes} min.",
    "book.seat": "Seat", "book.free": "free", "book.taken": "taken", "book.mine": "yours", "book.past": "past", "book.closed": "closed",
    "book.confirm": "Book", "book.alternatives": "Free nearby", "book.booked": "Booked: {what}.", "book.noSlots": "There are no slots on that day.",
  },
});
